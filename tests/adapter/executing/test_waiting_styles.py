"""At rest is when nothing of a function is scheduled, however it waits; what does I/O is told apart from it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import anyio
import httpx
import pytest
import uvloop

from tests.adapter.executing.styles import STYLES
from tests.adapter.executing.support import call, data, finish, give, ops, result, runtime

# A call that loses its patience is found out by the time limit of a test: nothing here waits when all is well.
PATIENT = {"patience_s": 3_600}

every_style = pytest.mark.parametrize("style", STYLES, ids=lambda style: style.__name__)


@every_style
@pytest.mark.parametrize("seed", [None, 1, 2])
async def test_a_function_that_waits_in_any_style_comes_to_rest(
    style: Callable[[Any], Any], seed: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever tasks wait with, a call ends as soon as all of them wait, and no replay differs."""
    server = await finish(style, seed=seed, runtime=runtime(**PATIENT))

    assert result(server.outcome) == STYLES[style]
    assert caplog.records == []


@every_style
def test_the_same_holds_in_a_loop_written_in_c(style: Callable[[Any], Any]) -> None:
    """A loop that does not show what it has scheduled costs a few passes more, and no patience."""

    async def run() -> Any:
        return result((await finish(style, seed=1, runtime=runtime(**PATIENT))).outcome)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == STYLES[style]


@contextlib.asynccontextmanager
async def a_server() -> AsyncIterator[tuple[str, list[int]]]:
    """An HTTP server of one answer; the second value has a number for each request."""
    requests: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        requests.append(1)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/", requests


async def _by_aiohttp(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


async def _by_httpx(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(url, timeout=30)).text


async def _by_streams(url: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()[-2:]


async def _by_anyio(url: str) -> str:
    async with await anyio.connect_tcp("127.0.0.1", httpx.URL(url).port or 0) as stream:
        await stream.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        return b"".join([part async for part in stream]).decode()[-2:]


async def _by_sockets(url: str) -> str:
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", httpx.URL(url).port))
        await loop.sock_sendall(connection, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while part := await loop.sock_recv(connection, 1024):
            answer += part
    return answer.decode()[-2:]


async def _by_a_thread(url: str) -> str:
    return await asyncio.to_thread(lambda: httpx.get(url, trust_env=False).text)


FETCHES = (_by_aiohttp, _by_httpx, _by_streams, _by_anyio, _by_sockets, _by_a_thread)

every_fetch = pytest.mark.parametrize("fetch", FETCHES, ids=lambda fetch: fetch.__name__.strip("_"))


@every_fetch
async def test_io_beside_steps_is_finished_before_the_call_is_answered(
    fetch: Callable[[str], Coroutine[Any, Any, str]],
) -> None:
    """A branch that does I/O is waited for, so that the step behind it is found by the same call."""

    async def handler(ctx: Any) -> Any:
        async def branch() -> Any:
            return await ctx.step.run("fetched", give, await fetch(url))

        return await asyncio.gather(ctx.step.run("a", give, 1), branch())

    async with a_server() as (url, requests):
        outcome = await call(handler, runtime=runtime(**PATIENT))

    assert ops(outcome) == [("StepPlanned", "a"), ("StepPlanned", "fetched")]
    assert requests == [1]


@every_fetch
async def test_io_in_an_anyio_group_is_waited_for_as_well(fetch: Callable[[str], Coroutine[Any, Any, str]]) -> None:
    """It makes no difference what joins the branches."""

    async def handler(ctx: Any) -> None:
        async def branch() -> None:
            await ctx.step.run("fetched", give, await fetch(url))

        async with anyio.create_task_group() as group:
            group.start_soon(ctx.step.run, "a", give, 1)
            group.start_soon(branch)

    async with a_server() as (url, _):
        outcome = await call(handler, runtime=runtime(**PATIENT))

    assert ops(outcome) == [("StepPlanned", "a"), ("StepPlanned", "fetched")]


async def test_a_thread_that_sets_an_event_is_not_missed_where_the_journal_has_what_followed() -> None:
    """A lock may be up to something outside: it counts so as long as the journal says that the function went on."""

    async def handler(ctx: Any) -> Any:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        threading.Thread(target=lambda: loop.call_soon_threadsafe(arrived.set), daemon=True).start()

        async def branch() -> Any:
            await arrived.wait()
            return await ctx.step.run("b", give, "b")

        return await asyncio.gather(branch(), ctx.step.run("a", give, "a"))

    assert result(await call(handler, {"b": data("b"), "a": data("a")})) == ["b", "a"]
