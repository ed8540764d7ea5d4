"""The serve endpoint without a web framework: a request in, a response out (protocol 2, 4)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from stepwell.authoring.app import App
from stepwell.client import system
from stepwell.client.http import HttpRequest, HttpResponse
from stepwell.client.outbound import Fetch, fetch, own_headers
from stepwell.client.settings import Settings, read_settings
from stepwell.serving.calls import Calls
from stepwell.serving.executor import Execute, executor_of
from stepwell.serving.introspection import answer_introspection
from stepwell.serving.register import Registering
from stepwell.serving.registration import registration_of, serve_url
from stepwell.serving.responses import error_response, failed_call, json_response, unauthorised
from stepwell.serving.trust import Trust, trust_in
from stepwell.wire import headers as names
from stepwell.wire.registration import Registration
from stepwell.wire.signing import sign

ALLOWED_METHODS: Final = "GET, PUT, POST"

_log = logging.getLogger("stepwell")


class Handler:
    """Serves one app. ``dev``, ``serve_origin`` and ``serve_path`` override the app's own settings when given.

    ``framework`` is the word the app reports for what serves it. A response longer than ``response_bytes_max`` cannot
    be carried away, and an error is. The clock, the network and the execution of a function are replaceable.
    """

    def __init__(
        self,
        app: App,
        *,
        dev: bool | None = None,
        serve_origin: str | None = None,
        serve_path: str | None = None,
        framework: str = "asgi",
        now_ms: Callable[[], int] = system.now_ms,
        fetch: Fetch = fetch,
        execute: Execute | None = None,
        response_bytes_max: int | None = None,
    ) -> None:
        self.settings = settings_of(app, dev=dev, serve_origin=serve_origin, serve_path=serve_path)
        self._app = app
        self._framework = framework
        self._now_ms = now_ms
        self._registering = Registering(self.settings, fetch, self._registration_at)
        self._calls = Calls(app, self.settings, fetch, execute or executor_of(app, self.settings, now_ms), now_ms)
        self._response_bytes_max = response_bytes_max

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer any request. Never raises: what goes wrong is in the response, and in the log when unexpected."""
        trust = trust_in(request, self.settings, self._now_ms() // 1000)
        try:
            response = await self._route(request, trust)
        except Exception as error:  # noqa: BLE001 - the last line of defence; the server must get an answer
            _log.exception("the request %s %s could not be answered", request.method, request.url)
            response = failed_call(f"{type(error).__name__}: {error}", code="unknown", name="InternalError")
        response = _limited(response, self._response_bytes_max)
        headers = {**self.base_headers(), **response.headers}
        if trust.key is not None:
            headers[names.SIGNATURE] = sign(response.body, trust.key, self._now_ms() // 1000)
        return replace(response, headers=headers)

    def streams(self, request: HttpRequest) -> bool:
        """Whether ``request`` may take so long that its answer is worth a keep-alive stream (protocol 4.9)."""
        return self.settings.streaming != "disable" and request.method == "POST" and "probe" not in request.query

    def base_headers(self) -> dict[str, str]:
        """What every response carries (protocol 1.7)."""
        return {
            "content-type": "application/json",
            **own_headers(self.settings),
            names.FRAMEWORK: self._framework,
            names.EXPECTED_SERVER_KIND: self.settings.kind,
            names.SDK_HANDLED: "true",
        }

    async def _route(self, request: HttpRequest, trust: Trust) -> HttpResponse:
        match request.method:
            case "GET":
                registration = self._registration_at(serve_url(self.settings, request.url, request.query))
                return answer_introspection(request, trust, self.settings, registration)
            case "PUT":
                return await self._registering.answer(request, trust)
            case "POST" if trust.problem is not None:
                return unauthorised(trust.problem)
            case "POST" if "probe" in request.query:
                return _answer_probe(request.query["probe"])
            case "POST":
                return await self._calls.answer(request)
            case _:
                refusal = error_response(405, f"use one of {ALLOWED_METHODS}")
                return replace(refusal, headers={"allow": ALLOWED_METHODS})

    def _registration_at(self, url: str) -> Registration:
        return registration_of(self._app, self.settings, url=url, framework=self._framework)


def settings_of(
    app: App, *, dev: bool | None = None, serve_origin: str | None = None, serve_path: str | None = None
) -> Settings:
    """The settings ``app`` is served with: its own, but for what is given."""
    own_dev = app.overrides.dev if dev is None else dev
    return read_settings(replace(app.overrides, dev=own_dev, serve_origin=serve_origin, serve_path=serve_path))


def _limited(response: HttpResponse, bytes_max: int | None) -> HttpResponse:
    """The response, or an error in its place when it is longer than ``bytes_max``; None allows any length."""
    size = len(response.body)
    if bytes_max is None or size <= bytes_max:
        return response
    message = f"the answer is {size} bytes and at most {bytes_max} can be sent: return less, or store it elsewhere"
    return failed_call(message, code="output_too_large", name="OutputTooLargeError", no_retry=True)


def _answer_probe(kind: str) -> HttpResponse:
    if kind != "trust":
        return error_response(400, f'unknown probe "{kind}"; the only one is "trust"', code="probe_unknown")
    return json_response(200, None)
