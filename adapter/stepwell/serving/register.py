"""PUT on a serve endpoint: the app registers with its server, or answers with its registration (protocol 2.2 - 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from stepwell.client.outbound import Fetch, OutboundRequest, call_api
from stepwell.client.settings import Settings
from stepwell.errors import StepwellError
from stepwell.wire import headers as names
from stepwell.wire.encoding import encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.registration import Registration


@dataclass(frozen=True, slots=True)
class Synced:
    """How a sync went: the status and body to answer the PUT with."""

    status: int
    body: Mapping[str, Any]


def kind_mismatch(settings: Settings, server_kind: str | None) -> Synced | None:
    """The refusal of a server whose announced kind contradicts the app's mode; None when there is nothing to refuse."""
    if server_kind is None or server_kind == settings.kind:
        return None
    fix = "unset STEPWELL_DEV" if settings.dev else "set STEPWELL_DEV=1"
    return _refused(
        400,
        "server_kind_mismatch",
        f"the app is in {settings.kind} mode but the server is of kind {server_kind}; {fix}, or use the right server",
    )


async def register(
    settings: Settings, fetch: Fetch, registration: Registration, *, deploy_id: str | None, server_kind: str | None
) -> Synced:
    """Register with the server out of band. ``deploy_id`` and ``server_kind`` are those of the PUT, if it had any."""
    query = "" if deploy_id is None else "?" + urlencode({"deployId": deploy_id})
    headers = {names.SYNC_KIND: names.SYNC_OUT_OF_BAND, names.FRAMEWORK: registration.framework}
    if server_kind is not None:
        headers[names.EXPECTED_SERVER_KIND] = settings.kind
    try:
        url = settings.api_url("/fn/register" + query)
        request = OutboundRequest("POST", url, headers, encode(registration.encode()))
        answer = await call_api(settings, fetch, request)
    except (ConnectionError, StepwellError) as error:
        where = settings.api_origin or "its server"
        return _refused(500, "registration_failed", f"the app could not register with {where}: {error}")
    mismatch = kind_mismatch(settings, answer.headers.get(names.SERVER_KIND))
    if mismatch is not None:
        return mismatch
    body = answer.json_object()
    if answer.status != 200:
        reason = body.get("error") or body.get("message") or answer.body[:500].decode(errors="replace")
        message = f"the server refused the registration with HTTP {answer.status}: {reason}"
        return _refused(500, "registration_failed", message)
    return Synced(200, {"message": "Successfully registered", "modified": body.get("modified") is True})


def _refused(status: int, code: str, message: str) -> Synced:
    return Synced(status, ErrorBody("SyncError", message, code=code).encode())
