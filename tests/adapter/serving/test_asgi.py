from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from stepwell.authoring.function import Function
from stepwell.serving.asgi_app import KEEP_ALIVE_MS, MAX_BODY_BYTES, AsgiApp
from stepwell.serving.handler import Handler
from stepwell.wire import headers as names
from stepwell.wire.call import CallRequest
from stepwell.wire.encoding import decode, encode
from stepwell.wire.reply import Finished, Outcome, decode_reply
from tests.adapter.serving.support import NOW_MS, FakeExecution, FakeServer, call_body, dev_app, handler_of

Event = dict[str, Any]


def scope(
    method: str = "GET", path: str = "/api/inngest", query: str = "", host: bytes | None = b"app.example"
) -> Event:
    """An HTTP connection scope."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "scheme": "https",
        "server": ("10.0.0.1", 8000),
        "headers": [] if host is None else [(b"Host", host)],
    }


async def talk(app: AsgiApp, scope: Event, *received: Event) -> list[Event]:
    """What ``app`` sends in a connection that receives these messages."""
    incoming, sent = list(received or ({"type": "http.request", "body": b""},)), list[Event]()

    async def receive() -> Event:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def chunks(*bodies: bytes) -> Sequence[Event]:
    """A request body that arrives in pieces."""
    return [
        {"type": "http.request", "body": body, "more_body": position < len(bodies)}
        for position, body in enumerate(bodies, start=1)
    ]


def headers_of(start: Event) -> dict[str, str]:
    """The headers of a response start."""
    return {name.decode(): value.decode() for name, value in start["headers"]}


CALL = scope("POST", query="fnId=shop-greet&stepId=step")


async def test_a_call_is_answered() -> None:
    """A body in several pieces reaches the function, and its result the server with a length."""
    execution = FakeExecution()
    body = encode(call_body())
    start, end = await talk(AsgiApp(handler_of(dev_app(), execution=execution)), CALL, *chunks(body[:9], b"", body[9:]))
    assert (start["status"], headers_of(start)["content-length"]) == (200, "6")
    assert (end["body"], end["more_body"]) == (b'"done"', False)
    assert execution.calls[0][1].event["data"] == {"id": 7}


@pytest.mark.parametrize(
    ("host", "path", "url"),
    [
        (b"app.example:81", "/api/inngest", "https://app.example:81/api/inngest"),
        (None, "/", "https://10.0.0.1:8000/"),
        (b"app.example", "/a b", "https://app.example/a%20b"),
    ],
)
async def test_the_url_is_the_one_the_request_came_in_with(host: bytes | None, path: str, url: str) -> None:
    """Scheme, host and path make the URL the app registers."""
    server = FakeServer()
    await talk(AsgiApp(handler_of(dev_app(), server=server)), scope("PUT", path, host=host))
    assert decode(server.requests[0].body)["url"] == url


@pytest.mark.parametrize(("path", "status"), [("/fn", 200), ("/fn/", 200), ("/", 404), ("/fn/x", 404)])
async def test_only_the_given_path_is_served(path: str, status: int) -> None:
    """With a path set every other one is a 404 in JSON."""
    start, end = await talk(AsgiApp(handler_of(dev_app()), path="/fn"), scope(path=path))
    assert start["status"] == status
    decode(end["body"])


async def test_head_has_no_body() -> None:
    """HEAD is answered as it must be: like another method, with the length and without the body."""
    start, end = await talk(AsgiApp(handler_of(dev_app())), scope("HEAD"))
    assert (start["status"], end["body"]) == (405, b"")
    assert int(headers_of(start)["content-length"]) > 0


async def test_a_body_over_the_bound_is_refused_before_it_is_all_read() -> None:
    """No more than the bound is held in memory, nothing runs, and the refusal is the SDK's own."""
    execution = FakeExecution()
    piece = b"x" * (MAX_BODY_BYTES // 2 + 1)
    app = AsgiApp(handler_of(dev_app(), execution=execution))
    start, _ = await talk(app, CALL, *chunks(piece, piece, piece)[:2])
    assert (start["status"], execution.calls) == (413, [])
    assert names.SDK in headers_of(start)


async def test_a_client_that_left_gets_nothing() -> None:
    """When the client goes away before its body is complete, nothing runs and nothing is sent."""
    execution = FakeExecution()
    app = AsgiApp(handler_of(dev_app(), execution=execution))
    assert await talk(app, CALL, chunks(b"{", b"")[0], {"type": "http.disconnect"}) == []
    assert execution.calls == []


async def test_the_lifespan_is_acknowledged() -> None:
    """A server that announces start and stop is told that both are done."""
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = await talk(AsgiApp(handler_of(dev_app())), {"type": "lifespan"}, *messages)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_websocket_is_closed() -> None:
    """A websocket is refused in its own protocol."""
    (sent,) = await talk(AsgiApp(handler_of(dev_app())), {"type": "websocket"}, {"type": "websocket.connect"})
    assert sent["type"] == "websocket.close"


async def test_another_scope_is_an_error() -> None:
    """A kind of connection nobody knows is refused by raising, as ASGI asks."""
    with pytest.raises(ValueError, match='"telepathy" is not supported'):
        await talk(AsgiApp(handler_of(dev_app())), {"type": "telepathy"})


class Timer:
    """Keep-alive time that passes only when told to."""

    def __init__(self) -> None:
        self.waits: list[int] = []
        self._due = asyncio.Condition()
        self._ticks = 0

    async def sleep_ms(self, delay_ms: int) -> None:
        """Wait for the next tick."""
        self.waits.append(delay_ms)
        mine = len(self.waits)
        async with self._due:
            await self._due.wait_for(lambda: self._ticks >= mine)

    async def tick(self) -> None:
        """Let the wait that is going on end."""
        async with self._due:
            self._ticks += 1
            self._due.notify_all()


class SlowFunction:
    """An execution that ends when told to."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()

    async def __call__(self, function: Function, call: CallRequest, target: str | None) -> Outcome:
        """Wait, then finish."""
        self.started.set()
        await self.may_end.wait()
        return Finished("done")


class Connection:
    """A call over a streaming app, whose messages are seen as they come."""

    def __init__(self, function: SlowFunction, timer: Timer) -> None:
        app = AsgiApp(Handler(dev_app(), now_ms=lambda: NOW_MS, execute=function), sleep_ms=timer.sleep_ms)
        self.sent: asyncio.Queue[Event] = asyncio.Queue()
        self.done = asyncio.ensure_future(app(CALL, self._receive, self.sent.put))

    async def _receive(self) -> Event:
        return {"type": "http.request", "body": encode(call_body())}


async def test_a_slow_call_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that outlasts the interval becomes a stream: a space per interval, then the reply as one object."""
    monkeypatch.setenv("STEPWELL_STREAMING", "allow")
    function, timer = SlowFunction(), Timer()
    connection = Connection(function, timer)
    await function.started.wait()
    assert connection.sent.empty()
    await timer.tick()
    start, first = await connection.sent.get(), await connection.sent.get()
    await timer.tick()
    second = await connection.sent.get()
    function.may_end.set()
    end = await connection.sent.get()
    await connection.done
    assert start["status"] == 201
    assert [first["body"], second["body"]] == [b" ", b" "]
    assert (first["more_body"], end["more_body"]) == (True, False)
    assert set(timer.waits) == {KEEP_ALIVE_MS}
    assert "content-length" not in headers_of(start)
    reply = decode_reply(201, headers_of(start), first["body"] + second["body"] + end["body"], NOW_MS)
    assert (reply.outcome, reply.request_version) == (Finished("done"), 2)


async def test_a_fast_call_is_answered_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where streaming is allowed, a reply that is ready in time is an ordinary one."""
    monkeypatch.setenv("STEPWELL_STREAMING", "allow")
    function = SlowFunction()
    function.may_end.set()
    connection = Connection(function, Timer())
    await connection.done
    assert connection.sent.get_nowait()["status"] == 200


async def test_a_forced_stream_starts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where streaming is forced, the headers do not wait for the function."""
    monkeypatch.setenv("STEPWELL_STREAMING", "force")
    function = SlowFunction()
    connection = Connection(function, Timer())
    assert (await connection.sent.get())["status"] == 201
    function.may_end.set()
    await connection.done


async def test_only_calls_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Introspection, syncs and probes are answered plainly even where streaming is forced."""
    monkeypatch.setenv("STEPWELL_STREAMING", "force")
    app = AsgiApp(handler_of(dev_app()))
    for asked in (scope("GET"), scope("PUT"), scope("POST", query="probe=trust")):
        assert (await talk(app, asked))[0]["status"] == 200


async def test_a_broken_connection_stops_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the stream cannot be written any more the function is not left running unseen."""
    monkeypatch.setenv("STEPWELL_STREAMING", "force")
    function = SlowFunction()
    ended = asyncio.Event()

    async def execute(called: Function, call: CallRequest, target: str | None) -> Outcome:
        try:
            return await function(called, call, target)
        finally:
            ended.set()

    app = AsgiApp(Handler(dev_app(), now_ms=lambda: NOW_MS, execute=execute))

    async def receive() -> Event:
        return {"type": "http.request", "body": encode(call_body())}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await function.started.wait()
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await app(CALL, receive, send)
    await ended.wait()
