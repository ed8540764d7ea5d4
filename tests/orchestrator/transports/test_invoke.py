"""Carrying calls: over HTTP, and to ASGI apps of this process, with the same outcome for the worker (protocol 4.1)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from stepwell.wire.reply import MAX_REPLY_BYTES
from stepwell_orchestrator.ports import CallError
from stepwell_orchestrator.transports.invoke_asgi import AsgiApp, InProcessInvoker
from stepwell_orchestrator.transports.invoke_http import HttpInvoker

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(**answers: Answer) -> AsyncIterator[str]:
    """A server on a free port that answers ``/<name>`` by the function of that name."""
    app = web.Application(client_max_size=2**30)
    for name, answer in answers.items():
        app.router.add_route("*", f"/{name}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[HttpInvoker]:
    """An HTTP invoker with a small bound on replies."""
    invoker = HttpInvoker(timeout_ms=2_000, reply_bytes_max=1_000)
    yield invoker
    await invoker.close()


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    query = request.rel_url.raw_query_string
    headers = {"X-Seen": request.headers["X-Mine"], "X-Query": query, "X-Method": request.method}
    return web.Response(status=206, body=body, headers=headers)


async def test_http_reply_comes_back_whole(http: HttpInvoker) -> None:
    """Method, query, headers and body arrive; status, lower-case header names and body come back."""
    async with serving(echo=echo) as origin:
        reply = await http.call(f"{origin}/echo?fnId=a+b&stepId=step", {"X-Mine": "7"}, b"{}")
    assert (reply.status, reply.body) == (206, b"{}")
    seen = (reply.headers["x-seen"], reply.headers["x-query"], reply.headers["x-method"])
    assert seen == ("7", "fnId=a+b&stepId=step", "POST")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_http_redirect_is_posted_again(http: HttpInvoker, status: int) -> None:
    """Every kind of redirect is followed with the same method, headers and body."""

    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"location": "/echo?moved=1"})

    async with serving(echo=echo, moved=moved) as origin:
        reply = await http.call(f"{origin}/moved", {"X-Mine": "7"}, b"body")
    assert (reply.status, reply.body, reply.headers["x-method"]) == (206, b"body", "POST")
    assert reply.headers["x-query"] == "moved=1"


async def test_http_circular_redirect_ends(http: HttpInvoker) -> None:
    """A redirect to itself is followed sixty times and then is an error."""
    asked = 0

    async def circle(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=307, headers={"location": "/circle"})

    async with serving(circle=circle) as origin:
        with pytest.raises(CallError, match="redirects in circles: 60 times so far"):
            await http.call(f"{origin}/circle", {}, b"{}")
    assert asked == 60


@pytest.mark.parametrize(("size", "kept"), [(1_000, 1_000), (1_001, 1_001), (5_000_000, 1_001)])
async def test_http_reply_is_read_one_byte_over_the_bound(http: HttpInvoker, size: int, kept: int) -> None:
    """A reply up to the bound is whole; of a larger one just enough is read to know that it is too large."""

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * size)

    async with serving(large=large) as origin:
        assert len((await http.call(f"{origin}/large", {}, b"{}")).body) == kept


async def test_http_connection_refused(http: HttpInvoker) -> None:
    """Nothing listening is told with the URL, without its query."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api/inngest"
    with pytest.raises(CallError) as failure:
        await http.call(f"{url}?fnId=a", {}, b"{}")
    assert str(failure.value) == f"nothing answers at {url}; is your app running?"


async def test_http_connection_cut(http: HttpInvoker) -> None:
    """A server that dies over a call, before or in the middle of its reply, is told as that."""

    async def die(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def die_halfway(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    async with serving(die=die, half=die_halfway) as origin:
        for name in ("die", "half"):
            with pytest.raises(CallError, match="closed the connection before its reply was complete"):
                await http.call(f"{origin}/{name}", {}, b"{}")


async def test_http_timeout_is_told() -> None:
    """A server that takes the call and never replies is told with the time that was waited."""
    invoker = HttpInvoker(timeout_ms=50)
    silent = socket.create_server(("127.0.0.1", 0))
    with silent, pytest.raises(CallError, match=r"did not reply within 0\.05 s"):
        await invoker.call(f"http://127.0.0.1:{silent.getsockname()[1]}/never", {}, b"{}")
    await invoker.close()


async def test_http_bad_url(http: HttpInvoker) -> None:
    """A URL that is none is told as that."""
    with pytest.raises(CallError, match="is not a URL that can be called"):
        await http.call("http://", {}, b"{}")


def answering(*messages: dict[str, Any], seen: list[Any] | None = None) -> AsgiApp:
    """An ASGI app that notes the request and sends the messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if seen is not None:
            seen.append((scope, await receive()))
        for message in messages:
            await send(message)

    return app


START = {"type": "http.response.start", "status": 200, "headers": [(b"X-Inngest-Sdk", b"py:v1")]}
BASE = "http://in-process/shop/api/stepwell"


async def test_asgi_reply_comes_back_whole() -> None:
    """The app sees a POST with path, query, headers and body; its reply comes back joined, names in lower case."""
    seen: list[Any] = []
    parts = [{"type": "http.response.body", "body": part, "more_body": part == b"on"} for part in (b"on", b"e")]
    invoker = InProcessInvoker({BASE: answering(START, *parts, seen=seen)})
    reply = await invoker.call(f"{BASE}?fnId=a+b", {"X-Mine": "7"}, b"{}")
    assert (reply.status, reply.headers, reply.body) == (200, {"x-inngest-sdk": "py:v1"}, b"one")
    [(scope, message)] = seen
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/shop/api/stepwell", b"fnId=a+b")
    assert scope["headers"] == [(b"x-mine", b"7"), (b"host", b"in-process")]
    assert message == {"type": "http.request", "body": b"{}", "more_body": False}


async def test_asgi_longest_base_url_wins() -> None:
    """An app is found by the longest base URL; a base that ends inside a word does not count."""

    def named(name: bytes) -> AsgiApp:
        return answering(START, {"type": "http.response.body", "body": name})

    invoker = InProcessInvoker({"http://in-process/a": named(b"short"), "http://in-process/a/b": named(b"long")})
    assert (await invoker.call("http://in-process/a/b?x=1", {}, b"")).body == b"long"
    assert (await invoker.call("http://in-process/a/bc", {}, b"")).body == b"short"
    with pytest.raises(CallError, match="no app is served in this process at http://in-process/ab"):
        await invoker.call("http://in-process/ab?x=1", {}, b"")


async def test_asgi_reply_is_bounded() -> None:
    """Of a reply that is too large one byte over the bound is kept."""
    half = b"x" * (MAX_REPLY_BYTES // 2)
    parts = [{"type": "http.response.body", "body": half, "more_body": number < 3} for number in range(4)]
    reply = await InProcessInvoker({BASE: answering(START, *parts)}).call(BASE, {}, b"")
    assert len(reply.body) == MAX_REPLY_BYTES + 1


@pytest.mark.parametrize(
    "messages", [(), (START,), (START, {"type": "http.response.body", "body": b"x", "more_body": True})]
)
async def test_asgi_incomplete_reply(messages: tuple[dict[str, Any], ...]) -> None:
    """An app that returns before its reply is complete is like a closed connection."""
    with pytest.raises(CallError, match="the app returned without a complete reply"):
        await InProcessInvoker({BASE: answering(*messages)}).call(BASE, {}, b"")


async def test_asgi_exception() -> None:
    """An app that raises is like a server that fails, and the error is told."""

    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(CallError, match=r"^the app raised ZeroDivisionError: division by zero$"):
        await InProcessInvoker({BASE: broken}).call(BASE, {}, b"")
