"""The real server process, killed with signal 9 in the middle of 200 runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from stepwell.wire.ids import hash_step_id

RUNS = 200
STALL_AFTER = 333
NAMES = {"loop-0": "loop", "loop-1": "loop:1", "left": "left", "right": "right", "last": "last"}


class Server:
    """A ``stepwell dev`` process and the pipe its app talks through."""

    def __init__(self, process: asyncio.subprocess.Process, lines: asyncio.StreamReader, url: str) -> None:
        self.process = process
        self.lines = lines
        self.url = url

    async def read_until(self, word: str, count: int) -> list[list[str]]:
        """Every line up to the ``count``-th that begins with ``word``."""
        found: list[list[str]] = []
        while count:
            line = (await self.lines.readline()).decode().split()
            assert line, "the app closed its pipe: the server died"
            found.append(line)
            count -= line[0] == word
        return found

    async def kill(self) -> None:
        """Signal 9, and wait for the corpse."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def serving(folder: Path, *, stall_after: int = 0) -> AsyncIterator[Server]:
    """A server on ``folder``'s database that answers by the time this returns."""
    pipe = folder / f"pipe-{stall_after}"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    lines = asyncio.StreamReader(limit=2**20)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(reading)
    )
    environment = {**os.environ, "KILL_PIPE": str(pipe), "KILL_STALL_AFTER": str(stall_after)}
    arguments = ["dev", "tests.e2e.kill_app:app", "--port", "0", "--db", str(folder / "dev.db"), "--no-reload"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from stepwell.cli import main; main()",
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Server(process, lines, await _answering(process))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        transport.close()


async def _answering(process: asyncio.subprocess.Process) -> str:
    """Where the server answers. It chooses a port by itself: one that was free before may be taken by now."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        _, found, rest = line.partition("listening at ")
        if found:
            asyncio.get_running_loop().create_task(_drain(process.stdout))
            return rest.partition(",")[0]
    raise AssertionError("the server ended before it served")


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(2**16):
        pass


def journaled(database: Path) -> dict[tuple[str, str], Any]:
    """The memos in a database nobody has open, by run and step id."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT run_id, step_id, document FROM steps WHERE memoised").fetchall()
    connection.close()
    return {(run_id, step_id): json.loads(document).get("memo") for run_id, step_id, document in rows}


async def test_kill_9_in_the_middle_of_200_runs_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """After a restart every run ends; what was journaled before stays as it was and its bodies do not run again."""
    async with serving(tmp_path, stall_after=STALL_AFTER) as server:
        events = [{"name": "kill/started", "data": {"n": n}} for n in range(RUNS)]
        async with aiohttp.ClientSession() as session, session.post(f"{server.url}/e/key", json=events) as answer:
            assert len((await answer.json())["ids"]) == RUNS
        before = await server.read_until("stalled", 1)
        await server.kill()
    kept = journaled(tmp_path / "dev.db")
    assert 0 < len(kept) < RUNS * 6, "the kill came in the middle"

    async with serving(tmp_path) as server:
        after = await server.read_until("end", RUNS)
    memos = journaled(tmp_path / "dev.db")

    assert {key: memos[key] for key in kept} == kept
    assert len(memos) == RUNS * 6, "five steps and a sleep a run, each journaled once"
    bodies = [line for line in before + after if line[0] == "body"]
    again = {(line[1], hash_step_id(NAMES[line[2]])) for line in after if line[0] == "body"}
    assert not again & set(kept), "a journaled step ran again"
    journaled_tokens = {memo["data"] for memo in memos.values() if memo}
    assert journaled_tokens <= {line[3] for line in bodies}
    for line in after:
        given = line[4].split(",") if line[0] == "body" and len(line) > 4 else []
        assert set(given) <= journaled_tokens, "a step was given a value that is not the journaled one"
