"""The serve endpoint without a web framework: a request in, a response out (protocol 2, 4)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from stepwell.authoring.app import App
from stepwell.authoring.function import Function
from stepwell.client import system
from stepwell.client.http import HttpRequest, HttpResponse
from stepwell.client.outbound import Fetch, connection, fetch, own_headers
from stepwell.client.run_state import with_fetched_state
from stepwell.client.sender import Sender
from stepwell.client.settings import Settings, read_settings
from stepwell.errors import SignatureError, StepwellError, WireError
from stepwell.executing.saving import Save, Saver
from stepwell.middleware.hooks import REQUEST
from stepwell.serving.introspection import full_introspection, public_introspection
from stepwell.serving.register import kind_mismatch, register
from stepwell.serving.registration import in_band_body, registration_of
from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest, decode_call_request
from stepwell.wire.encoding import decode, encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.registration import Registration
from stepwell.wire.reply import Failed, Outcome, encode_reply
from stepwell.wire.signing import sign, verify_request

if TYPE_CHECKING:
    from stepwell.executing.execution import Runtime

Execute = Callable[[Function[Any], CallRequest, str | None], Awaitable[Outcome]]
"""Runs a function for a call request; the third argument is the hashed id of the step it targets, if any."""

ALLOWED_METHODS: Final = "GET, PUT, POST"

_log = logging.getLogger("stepwell")


@dataclass(frozen=True, slots=True)
class _Trust:
    """What the signature of a request is worth: the key that made it, or why it is refused.

    Neither in dev mode, nor when the platform vouches for whoever asks.
    """

    key: str | None = None
    problem: str | None = None


class Handler:
    """Serves one app. ``dev``, ``serve_origin`` and ``serve_path`` override the app's own settings when given.

    ``framework`` is the word the app reports for what serves it. ``response_bytes_max`` is what can carry a response
    away. The clock, the network and the execution of a function are replaceable.
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
        self._fetch = fetch
        self._execute = execute or executor_of(app, self.settings, now_ms)
        self._response_bytes_max = response_bytes_max

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer any request. Never raises: what goes wrong is in the response, and in the log when unexpected."""
        trust = self._trust(request)
        try:
            response = await self._route(request, trust)
        except Exception as error:  # noqa: BLE001 - the last line of defence; the server must get an answer
            _log.exception("the request %s %s could not be answered", request.method, request.url)
            response = _failed(f"{type(error).__name__}: {error}", code="unknown", name="InternalError")
        response = self._carried(response)
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

    async def _route(self, request: HttpRequest, trust: _Trust) -> HttpResponse:
        match request.method:
            case "GET":
                return self._introspect(request, trust)
            case "PUT":
                return await self._sync(request, trust)
            case "POST" if trust.problem is not None:
                return _unauthorised(trust.problem)
            case "POST" if "probe" in request.query:
                return _probe(request.query["probe"])
            case "POST":
                return await self._call(request)
            case _:
                return replace(_error(405, f"use one of {ALLOWED_METHODS}"), headers={"allow": ALLOWED_METHODS})

    def _trust(self, request: HttpRequest) -> _Trust:
        if self.settings.dev or request.trusted:
            return _Trust()
        keys = self.settings.signing_keys
        if not keys:
            return _Trust(problem="no signing key is configured; set STEPWELL_SIGNING_KEY, or STEPWELL_DEV=1 locally")
        try:
            header = request.headers.get(names.SIGNATURE)
            return _Trust(key=verify_request(request.body, header, keys, self._now_ms() // 1000))
        except SignatureError as error:
            return _Trust(problem=str(error))

    def _introspect(self, request: HttpRequest, trust: _Trust) -> HttpResponse:
        mismatch = kind_mismatch(self.settings, request.headers.get(names.SERVER_KIND))
        if mismatch is not None:
            return _json(403, mismatch.body)
        registration = self._registration(self._serve_url(request))
        if trust.key is not None:
            return _json(200, full_introspection(self.settings, registration))
        refused = False if names.SIGNATURE in request.headers and trust.problem is not None else None
        return _json(200, public_introspection(self.settings, registration, authenticated=refused))

    async def _sync(self, request: HttpRequest, trust: _Trust) -> HttpResponse:
        server_kind = request.headers.get(names.SERVER_KIND)
        mismatch = kind_mismatch(self.settings, server_kind)
        if mismatch is not None:
            return _json(mismatch.status, mismatch.body)
        in_band = request.headers.get(names.SYNC_KIND) == names.SYNC_IN_BAND and self.settings.allow_in_band_sync
        if trust.problem is not None and (in_band or names.SIGNATURE in request.headers):
            return _unauthorised(trust.problem)
        if in_band:
            return self._sync_in_band(request)
        synced = await register(
            self.settings,
            self._fetch,
            self._registration(self._serve_url(request)),
            deploy_id=request.query.get("deployId"),
            server_kind=server_kind,
        )
        return _json(synced.status, synced.body, {names.SYNC_KIND: names.SYNC_OUT_OF_BAND})

    def _sync_in_band(self, request: HttpRequest) -> HttpResponse:
        """The server names the URL it reached the app at; that is the one its functions are registered under."""
        try:
            url = _asked_url(decode(request.body))
        except WireError as error:
            return _error(400, str(error), code="body_invalid")
        registration = self._registration(url)
        inspection = full_introspection(self.settings, registration)
        return _json(200, in_band_body(registration, inspection), {names.SYNC_KIND: names.SYNC_IN_BAND})

    async def _call(self, request: HttpRequest) -> HttpResponse:
        slug = request.query.get("fnId", "")
        function = self._function(slug)
        if function is None:
            message = f'the app "{self._app.id}" has no function "{slug}"; sync the app after renaming or removing one'
            return _failed(message, code="function_not_found", name="FunctionNotFoundError")
        try:
            call = decode_call_request(decode(request.body))
        except WireError as error:
            return _failed(str(error), code="body_invalid", name="ValidationError")
        if call.ctx.use_api:
            try:
                call = await with_fetched_state(self.settings, self._fetch, call)
            except (ConnectionError, StepwellError) as error:
                message = f"the run's state could not be fetched: {error}"
                return _failed(message, code="state_unavailable", name="StateError")
        target = request.query.get("stepId") or call.ctx.step_id
        token = REQUEST.set(request)
        try:
            outcome = await self._execute(function, call, None if target == DISCOVERY_STEP_ID else target)
        finally:
            REQUEST.reset(token)
        status, headers, body = encode_reply(outcome, self._now_ms())
        return HttpResponse(status, headers, body)

    def _carried(self, response: HttpResponse) -> HttpResponse:
        """The response, or what is said in place of one that is too long for its way."""
        size, most = len(response.body), self._response_bytes_max
        if most is None or size <= most:
            return response
        message = f"the answer is {size} bytes and at most {most} can be sent: return less, or store it elsewhere"
        error = ErrorBody("OutputTooLargeError", message, code="output_too_large")
        return HttpResponse(*encode_reply(Failed(error, error.encode(), no_retry=True), now_ms=0))

    def _function(self, slug: str) -> Function[Any] | None:
        function = self._app.functions.get(slug.removeprefix(f"{self._app.id}-"))
        return function if function is not None and function.slug == slug else None

    def _registration(self, url: str) -> Registration:
        return registration_of(self._app, self.settings, url=url, framework=self._framework)

    def _serve_url(self, request: HttpRequest) -> str:
        """Where the server shall call: the URL of this request, with configured origin and path in its place."""
        parts = urlsplit(request.url)
        origin = self.settings.serve_origin or f"{parts.scheme}://{parts.netloc}"
        return origin + (self.settings.serve_path or parts.path)


def settings_of(
    app: App, *, dev: bool | None = None, serve_origin: str | None = None, serve_path: str | None = None
) -> Settings:
    """The settings ``app`` is served with: its own, but for what is given."""
    own_dev = app.overrides.dev if dev is None else dev
    return read_settings(replace(app.overrides, dev=own_dev, serve_origin=serve_origin, serve_path=serve_path))


def runtime_of(
    app: App,
    settings: Settings,
    now_ms: Callable[[], int],
    connect: Callable[[], AbstractAsyncContextManager[Fetch]] = connection,
) -> Runtime:
    """What the functions of ``app`` need from outside. ``connect`` gives a call its way to the server's API."""
    from stepwell.executing.execution import Runtime

    @asynccontextmanager
    async def saves() -> AsyncGenerator[Save]:
        if app.transport is not None:
            yield app.transport.checkpoint
            return
        async with connect() as kept:
            yield Sender(settings, kept).checkpoint

    saver = Saver(saves, now_ms, system.sleep_ms, system.jitter_ms)
    return Runtime(send=app.send_wire, send_signal=app.send_signal, now_ms=now_ms, saver=saver)


def executor_of(
    app: App,
    settings: Settings,
    now_ms: Callable[[], int],
    connect: Callable[[], AbstractAsyncContextManager[Fetch]] = connection,
) -> Execute:
    """Execution proper, imported when first served."""
    from stepwell.executing.execution import execute

    runtime = runtime_of(app, settings, now_ms, connect)

    async def run(function: Function[Any], call: CallRequest, target: str | None) -> Outcome:
        return await execute(function, call, target=target, runtime=runtime)

    return run


def _asked_url(body: Any) -> str:
    url = body.get("url") if isinstance(body, dict) else None
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise WireError('an in-band sync must have a body like {"url": "https://host/api/inngest"}')
    return url.partition("?")[0]


def _probe(kind: str) -> HttpResponse:
    if kind != "trust":
        return _error(400, f'unknown probe "{kind}"; the only one is "trust"', code="probe_unknown")
    return HttpResponse(200, {}, encode(None))


def _unauthorised(problem: str) -> HttpResponse:
    return _error(401, problem, code="sig_verification_failed")


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(status, headers or {}, encode(body))


def _error(status: int, message: str, *, code: str | None = None) -> HttpResponse:
    return _json(status, ErrorBody("RequestError", message, code=code).encode())


def _failed(message: str, *, code: str, name: str) -> HttpResponse:
    """A call that failed before the function was reached: another attempt may find the app or the server mended."""
    error = ErrorBody(name, message, code=code)
    return HttpResponse(*encode_reply(Failed(error, error.encode()), now_ms=0))
