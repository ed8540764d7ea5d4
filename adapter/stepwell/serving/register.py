"""PUT on a serve endpoint: the app registers with its server, or answers with its registration (protocol 2.2 - 2.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from stepwell.client.http import HttpRequest, HttpResponse
from stepwell.client.outbound import Fetch, OutboundRequest, call_api
from stepwell.client.settings import Settings
from stepwell.errors import StepwellError, WireError
from stepwell.serving.introspection import full_introspection
from stepwell.serving.registration import asked_url, in_band_body, serve_url
from stepwell.serving.responses import error_response, json_response, unauthorised
from stepwell.serving.trust import Trust, kind_mismatch, registration_error
from stepwell.wire import headers as names
from stepwell.wire.encoding import decode, encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.registration import Registration

_OUT_OF_BAND: Final = {names.SYNC_KIND: names.SYNC_OUT_OF_BAND}
_IN_BAND: Final = {names.SYNC_KIND: names.SYNC_IN_BAND}


@dataclass(frozen=True, slots=True)
class Registering:
    """The registering of one app; ``registration_at`` gives its registration as served at a URL."""

    settings: Settings
    fetch: Fetch
    registration_at: Callable[[str], Registration]

    async def answer(self, request: HttpRequest, trust: Trust) -> HttpResponse:
        """Register the app, and answer with how that went. In band, the registration itself is the answer."""
        mismatch = kind_mismatch(self.settings, request.headers.get(names.SERVER_KIND))
        if mismatch is not None:
            return json_response(400, _refused(mismatch))
        kind = request.headers.get(names.SYNC_KIND, "").replace("-", "_")
        in_band = kind == names.SYNC_IN_BAND and self.settings.allow_in_band_sync
        if trust.problem is not None and (in_band or names.SIGNATURE in request.headers):
            return unauthorised(trust.problem)
        return self._answer_in_band(request) if in_band else await self._register(request)

    def _answer_in_band(self, request: HttpRequest) -> HttpResponse:
        """The server names the URL it reached the app at; that is the one its functions are registered under."""
        try:
            url = _asked_url(decode(request.body))
        except WireError as error:
            return error_response(400, str(error), code="body_invalid")
        registration = self.registration_at(url)
        inspection = full_introspection(self.settings, registration)
        return json_response(200, in_band_body(registration, inspection), _IN_BAND)

    async def _register(self, request: HttpRequest) -> HttpResponse:
        registration = self.registration_at(serve_url(self.settings, request.url, request.query))
        try:
            answer = await call_api(self.settings, self.fetch, self._registration_request(request, registration))
        except (ConnectionError, StepwellError) as error:
            where = self.settings.api_origin or "its server"
            return _refusal(500, _failure(f"the app could not register with {where}: {error}"))
        mismatch = kind_mismatch(self.settings, answer.headers.get(names.SERVER_KIND))
        if mismatch is not None:
            return _refusal(400, mismatch)
        body = answer.json_object()
        if answer.status != 200:
            reason = body.get("error") or body.get("message") or answer.body[:500].decode(errors="replace")
            message = f"the server refused the registration with HTTP {answer.status}: {reason}"
            return _refusal(500, _failure(message))
        registered = {"message": "Successfully registered", "modified": body.get("modified") is True}
        return json_response(200, registered, _OUT_OF_BAND)

    def _registration_request(self, request: HttpRequest, registration: Registration) -> OutboundRequest:
        """The request to the server. It carries on what a server that asked for it said of itself and the deploy."""
        deploy_id = request.query.get("deployId")
        query = "" if deploy_id is None else "?" + urlencode({"deployId": deploy_id})
        headers = {**_OUT_OF_BAND, names.FRAMEWORK: registration.framework}
        if names.SERVER_KIND in request.headers:
            headers[names.EXPECTED_SERVER_KIND] = self.settings.kind
        url = self.settings.api_url("/fn/register" + query)
        return OutboundRequest("POST", url, headers, encode(registration.encode()))


def _asked_url(body: Any) -> str:
    url = body.get("url") if isinstance(body, dict) else None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise WireError('an in-band sync must have a body like {"url": "https://host/api/inngest"}')
    return asked_url(url)


def _failure(message: str) -> ErrorBody:
    return registration_error(message, code="registration_failed")


def _refusal(status: int, error: ErrorBody) -> HttpResponse:
    return json_response(status, _refused(error), _OUT_OF_BAND)


def _refused(error: ErrorBody) -> dict[str, Any]:
    return {**error.encode(), "modified": False}
