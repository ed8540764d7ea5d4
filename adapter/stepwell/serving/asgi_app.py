"""The serve endpoint as a bare ASGI application, which needs no framework."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from stepwell.authoring.app import App
from stepwell.client import system
from stepwell.client.http import HttpRequest, HttpResponse
from stepwell.serving.handler import Handler
from stepwell.wire.encoding import encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.reply import encode_streamed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KEEP_ALIVE_MS: Final = 3_000
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
PUBLIC_PATH: Final = "stepwell.public_path"
"""Set in the scope by what runs the application: the path as the caller wrote it, which may have a prefix."""
TRUSTED: Final = "stepwell.trusted"
"""Set in the scope by what runs the application, never by a client: the request needs no signature."""


class AsgiApp:
    """A handler as an ASGI 3 application, for HTTP and the lifespan protocol.

    ``path`` is the only path answered when given; any other is a 404. ``sleep_ms`` paces the keep-alive.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        path: str | None = None,
        sleep_ms: Callable[[int], Awaitable[None]] = system.sleep_ms,
    ) -> None:
        self._handler = handler
        self._path = path
        self._sleep_ms = sleep_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        match scope["type"]:
            case "http":
                await self._answer_http(scope, receive, send)
            case "lifespan":
                await _answer_lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000, "reason": "this endpoint speaks HTTP only"})
            case other:
                raise ValueError(f'the ASGI scope type "{other}" is not supported; serve the app over HTTP')

    async def _answer_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _receive_body(receive)
        if body is None:
            return
        if self._path is not None and not _is_at(scope, self._path):
            await _respond(send, self._refusal(404, f"the app is served at {self._path}"))
            return
        if len(body) > MAX_BODY_BYTES:
            await _respond(send, self._refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes"))
            return
        request = _request(scope, body)
        if self._handler.streams(request):
            await self._answer_streaming(request, send)
        else:
            response = await self._handler.handle(request)
            await _respond(send, response, with_body=request.method != "HEAD")

    def _refusal(self, status: int, message: str) -> HttpResponse:
        body = encode(ErrorBody("RequestError", message).encode())
        return HttpResponse(status, self._handler.base_headers(), body)

    async def _answer_streaming(self, request: HttpRequest, send: Send) -> None:
        """Answer plainly what is answered before the first keep-alive is due, unless streaming is forced."""
        answering = asyncio.ensure_future(self._handler.handle(request))
        try:
            if self._handler.settings.streaming == "force" or not await self._finishes_in_time(answering):
                await self._stream(answering, send)
            else:
                await _respond(send, answering.result())
        finally:
            answering.cancel()

    async def _stream(self, answering: asyncio.Future[HttpResponse], send: Send) -> None:
        await send(_start(201, self._handler.base_headers()))
        while not answering.done():
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await self._finishes_in_time(answering)
        response = answering.result()
        await send(
            {
                "type": "http.response.body",
                "body": encode_streamed(response.status, response.headers, response.body),
                "more_body": False,
            }
        )

    async def _finishes_in_time(self, answering: asyncio.Future[HttpResponse]) -> bool:
        """Wait until the answer is there or the next keep-alive is due. Returns whether the answer is there."""
        due = asyncio.ensure_future(self._sleep_ms(KEEP_ALIVE_MS))
        both: set[asyncio.Future[Any]] = {answering, due}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            due.cancel()
        return answering.done()


def asgi(
    app: App,
    *,
    path: str | None = None,
    dev: bool | None = None,
    serve_origin: str | None = None,
    serve_path: str | None = None,
) -> AsgiApp:
    """``app`` as an ASGI application: ``application = stepwell.asgi(app)``, run by uvicorn, hypercorn or Mangum.

    It answers on every path, or only on ``path``. ``serve_origin`` and ``serve_path`` say under which URL the server
    reaches it when that is not the one requests come in with (``STEPWELL_SERVE_ORIGIN``, ``STEPWELL_SERVE_PATH``).
    """
    handler = Handler(app, dev=dev, serve_origin=serve_origin, serve_path=serve_path, framework="asgi")
    return AsgiApp(handler, path=path)


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _receive_body(receive: Receive) -> bytes | None:
    """Receive the whole body, or just more than is allowed of it. Returns None when the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False) or len(body) > MAX_BODY_BYTES:
            return bytes(body)


def _request(scope: Scope, body: bytes) -> HttpRequest:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return HttpRequest(
        method=scope["method"],
        url=_url(scope, headers),
        query=dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)),
        headers=headers,
        body=body,
        trusted=scope.get(TRUSTED) is True,
    )


def _is_at(scope: Scope, path: str) -> bool:
    """Whether a request is for ``path``, be it behind a prefix where what runs the application knows of prefixes."""
    asked, own = scope["path"].rstrip("/"), path.rstrip("/")
    return bool(asked == own or (PUBLIC_PATH in scope and asked.endswith("/" + own.lstrip("/"))))


def _url(scope: Scope, headers: dict[str, str]) -> str:
    host, port = scope.get("server") or ("localhost", None)
    authority = headers.get("host") or (f"{host}:{port}" if port else host)
    return f"{scope.get('scheme', 'http')}://{authority}{quote(scope.get(PUBLIC_PATH) or scope['path'])}"


async def _respond(send: Send, response: HttpResponse, *, with_body: bool = True) -> None:
    await send(_start(response.status, {**response.headers, "content-length": str(len(response.body))}))
    await send({"type": "http.response.body", "body": response.body if with_body else b"", "more_body": False})


def _start(status: int, headers: dict[str, str]) -> Message:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}
