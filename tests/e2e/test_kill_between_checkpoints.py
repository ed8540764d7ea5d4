"""An app's process, killed with signal 9 between two checkpoints of a loop of a hundred steps."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.interop.server import Server, dev_server

STEPS = 100
STALL_AT = 42
TOTAL = sum(range(1, STEPS + 1))

every_kind = pytest.mark.parametrize("kind", ["flowing", "plain"])


class Told:
    """What the app tells, line by line."""

    def __init__(self, lines: asyncio.StreamReader) -> None:
        self._lines = lines

    async def until(self, word: str) -> list[list[str]]:
        """Every line up to the first that begins with ``word``."""
        found: list[list[str]] = []
        while not found or found[-1][0] != word:
            line = (await self._lines.readline()).decode().split()
            assert line, "the app closed its pipe"
            found.append(line)
        return found


@asynccontextmanager
async def running(listener: socket.socket, server: str, *, stall_at: int = 0) -> AsyncIterator[tuple[Told, int]]:
    """A process that serves the app on ``listener``, what it tells, and its id; it is killed in the end."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.checkpoint_app"),
        *map(str, (listener.fileno(), writing, stall_at)),
        env={**os.environ, "STEPWELL_DEV": server},
        pass_fds=(listener.fileno(), writing),
    )
    os.close(writing)
    lines = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(reading)
    )
    try:
        yield Told(lines), process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        transport.close()


@pytest.fixture
async def listener() -> AsyncIterator[socket.socket]:
    """Where the app is served, by whichever process: who connects while there is none waits for the next."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


@asynccontextmanager
async def dev(listener: socket.socket, own: socket.socket) -> AsyncIterator[Server]:
    """The dev server on ``own``, with the app registered."""
    url = "http://{}:{}/api/stepwell".format(*listener.getsockname())
    async with dev_server(own, (url,)) as server:
        yield server


@pytest.fixture
def own() -> socket.socket:
    """Where the dev server listens, which closes it."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    return listening


def bodies(lines: list[list[str]]) -> Counter[int]:
    """How often each step's body ran."""
    return Counter(int(line[1]) for line in lines if line[0] == "body")


@every_kind
async def test_a_loop_of_a_hundred_steps_is_one_call(kind: str, listener: socket.socket, own: socket.socket) -> None:
    """When nothing happens the function is called once, and every body runs once."""
    origin = "http://{}:{}".format(*own.getsockname())
    async with running(listener, origin) as (told, _), dev(listener, own) as server:
        event_id = await server.send(f"loop/{kind}")
        lines = await told.until("end")
        outcome = await server.ended(event_id)

    assert (outcome.status, outcome.output) == ("Completed", TOTAL)
    assert [line[0] for line in lines].count("called") == 1
    assert bodies(lines) == Counter(range(1, STEPS + 1))


@every_kind
async def test_a_killed_app_goes_on_behind_the_last_saved_step(
    kind: str, listener: socket.socket, own: socket.socket
) -> None:
    """After the restart the step that was executing runs again, and none of those before it."""
    origin = "http://{}:{}".format(*own.getsockname())
    async with running(listener, origin, stall_at=STALL_AT) as (told, pid), dev(listener, own) as server:
        event_id = await server.send(f"loop/{kind}")
        before = await told.until("stalled")
        os.kill(pid, signal.SIGKILL)
        async with running(listener, origin) as (told_again, _):
            after = await told_again.until("end")
            outcome = await server.ended(event_id)

    assert (outcome.status, outcome.output) == ("Completed", TOTAL)
    assert bodies(before) == Counter(range(1, STALL_AT + 1))
    assert bodies(after) == Counter(range(STALL_AT, STEPS + 1))
    assert [line[0] for line in before + after].count("called") == 3, "the one that died, its repetition, and the rest"
