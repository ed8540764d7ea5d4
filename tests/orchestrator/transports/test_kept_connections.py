"""Connections that are kept between calls, and what is done when the app's end closes one.

| the connection | the app's end                        | the call                      | test             |
| -------------- | ------------------------------------ | ----------------------------- | ---------------- |
| kept           | closes, or aborts, before any byte   | made once more, on a fresh one | is made once more |
| kept           | closes after the first bytes         | fails: the app was called     | is not made again |
| fresh          | closes before any byte               | fails: the app was called     | is not made again |
| fresh again    | closes before any byte               | fails, after two calls        | no third call    |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from stepwell_orchestrator.ports import CallError
from stepwell_orchestrator.transports.invoke_http import HttpInvoker

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
MOVED = b"HTTP/1.1 307 Moved\r\nContent-Length: 2\r\nLocation: /api\r\n\r\n{}"
CLOSE = b""
ABORT = None


@dataclass
class Front:
    """What stands before an app: for each connection, in order, what it says to each request on it.

    After bytes that are no whole reply, and after nothing, it closes the connection.
    """

    script: Sequence[Sequence[bytes | None]]
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    origin: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        answers = self.script[self.connections]
        self.connections += 1
        for answer in answers:
            self.bodies.append(await read_body(reader))
            if answer is None:
                writer.transport.abort()
                return
            writer.write(answer)
            await writer.drain()
        writer.close()


async def read_body(reader: asyncio.StreamReader) -> bytes:
    """The body of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return await reader.readexactly(int(length.split(b":")[1]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


@asynccontextmanager
async def standing_before_an_app(*script: Sequence[bytes | None]) -> AsyncIterator[Front]:
    """A front on a free port."""
    front = Front(script)
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    front.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield front
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def http() -> AsyncIterator[HttpInvoker]:
    """An HTTP invoker."""
    invoker = HttpInvoker(timeout_ms=10_000)
    yield invoker
    await invoker.close()


@pytest.mark.parametrize("ending", [CLOSE, ABORT], ids=["closed", "aborted"])
async def test_a_call_that_a_kept_connection_lost_is_made_once_more(http: HttpInvoker, ending: bytes | None) -> None:
    """The same request is made on a fresh connection, and the caller sees its reply alone."""
    async with standing_before_an_app([GOOD, ending], [GOOD]) as front:
        await http.call(f"{front.origin}/api", {}, b"one")
        reply = await http.call(f"{front.origin}/api", {}, b"two")
    assert (reply.status, reply.body) == (200, b"{}")
    assert (front.bodies, front.connections) == ([b"one", b"two", b"two"], 2)


async def test_a_redirect_that_a_kept_connection_lost_is_followed(http: HttpInvoker) -> None:
    """Where the call goes on to over the same connection is asked again like the first address."""
    async with standing_before_an_app([MOVED, CLOSE], [GOOD]) as front:
        reply = await http.call(f"{front.origin}/old", {}, b"one")
    assert (reply.status, front.bodies) == (200, [b"one"] * 3)


@pytest.mark.parametrize(
    ("script", "calls"),
    [
        ([[GOOD, b"H"]], 2),
        ([[GOOD, GOOD[:-1]]], 2),
        ([[GOOD, b"HTTP/1.0 2"]], 2),
        ([[GOOD[:20]]], 1),
        ([[CLOSE]], 1),
        ([[ABORT]], 1),
        ([[GOOD, CLOSE], [CLOSE]], 3),
    ],
    ids=["one byte", "half a body", "held back", "fresh, half a head", "fresh, closed", "fresh, aborted", "twice"],
)
async def test_a_call_that_the_app_may_have_had_is_not_made_again(
    http: HttpInvoker, script: Sequence[Sequence[bytes | None]], calls: int
) -> None:
    """After one byte of the answer, and on a connection opened for the call, its loss is the call's failure."""
    async with standing_before_an_app(*script) as front:
        url = f"{front.origin}/api"
        if len(script[0]) > 1:
            await http.call(url, {}, b"one")
        with pytest.raises(CallError, match="closed the connection before its reply was complete"):
            await http.call(url, {}, b"two")
    assert (len(front.bodies), front.connections) == (calls, len(script))


async def test_a_reply_of_http_1_0_that_announces_chunks_is_read_to_its_end(http: HttpInvoker) -> None:
    """Where none come the body is what there is until the connection is closed."""
    head = b"HTTP/1.0 206 Partial\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with standing_before_an_app([head + b'[{"op": "StepRun"}]']) as front:
        reply = await http.call(f"{front.origin}/api", {}, b"one")
    assert (reply.status, reply.body) == (206, b'[{"op": "StepRun"}]')
