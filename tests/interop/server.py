"""Our dev server, what it tells, and what its API answers: the end of the wire that every official app talks to."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from stepwell_orchestrator.entry.dev_server import MEMORY, DevOptions, own_origin, serve
from stepwell_orchestrator.entry.settings import ServerSettings
from stepwell_orchestrator.model.notice import Notice, NoticeKind

ENDS = (NoticeKind.RUN_COMPLETED, NoticeKind.RUN_FAILED, NoticeKind.RUN_CANCELLED)
EVENT_KEY = "an-event-key"
SIGNING_KEY = "0123456789abcdef" * 4
"""Hexadecimal and without a prefix, as a deployed stack generates it."""
KEYED = ServerSettings(event_keys=(EVENT_KEY,), signing_keys=(SIGNING_KEY,))


@dataclass(slots=True)
class Watcher:
    """Collects what a dev server tells, and waits for it."""

    notices: list[Notice] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, notice: Notice) -> None:
        self.notices.append(notice)
        self._told.set()

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._told.set()

    async def changed(self) -> None:
        """Return once something more was told."""
        self._told.clear()
        await self._told.wait()

    async def until(self, wanted: Callable[[Notice], bool], count: int = 1) -> Notice:
        """The ``count``-th notice that is wanted."""
        seen = 0
        while True:
            for notice in self.notices[seen:]:
                seen += 1
                count -= wanted(notice)
                if count == 0:
                    return notice
            await self.changed()

    async def told(self, kind: NoticeKind, function_id: str = "", count: int = 1) -> Notice:
        """The ``count``-th notice of a kind, of a function if given."""
        return await self.until(lambda n: n.kind is kind and function_id in ("", n.function_id), count)

    async def said(self, *texts: str) -> None:
        """Return once a line holds one of ``texts``."""
        while not any(text in line for line in self.lines for text in texts):
            await self.changed()

    def calls(self, run_id: str) -> int:
        """How often a run's app was called."""
        return sum(notice.kind is NoticeKind.CALLED and notice.run_id == run_id for notice in self.notices)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: its status and output, and how many call requests it took."""

    status: str
    output: Any
    calls: int
    run_id: str


@dataclass(frozen=True, slots=True)
class Server:
    """A dev server: where it is, what it told, and its API."""

    origin: str
    watcher: Watcher
    session: aiohttp.ClientSession
    event_key: str = EVENT_KEY

    async def send(self, name: str, data: dict[str, Any] | None = None, **fields: Any) -> str:
        """Send one event; its internal id."""
        event = {"name": name, "data": data or {}, **fields}
        async with self.session.post(f"/e/{self.event_key}", json=event) as answer:
            [event_id] = (await answer.json())["ids"]
            return str(event_id)

    async def get(self, path: str) -> Any:
        """The data the API answers with."""
        async with self.session.get(path) as answer:
            return (await answer.json())["data"]

    async def runs_of(self, event_id: str, count: int = 1) -> list[Any]:
        """The runs an event started, once there are that many."""
        while True:
            runs: list[Any] = await self.get(f"/v1/events/{event_id}/runs")
            if len(runs) >= count:
                return runs
            await self.watcher.changed()

    async def run_of(self, event_id: str) -> Any:
        """The one run an event started."""
        [run] = await self.runs_of(event_id)
        return run

    async def ended(self, event_id: str) -> Outcome:
        """The end of the one run that an event started."""
        run_id = (await self.run_of(event_id))["run_id"]
        await self.watcher.until(lambda notice: notice.kind in ENDS and notice.run_id == run_id)
        run = await self.get(f"/v1/runs/{run_id}")
        return Outcome(run["status"], run["output"], self.watcher.calls(run_id), run_id)

    async def outcome(self, name: str, data: dict[str, Any] | None = None) -> Outcome:
        """Send an event and see the run that it starts to its end."""
        return await self.ended(await self.send(name, data))

    async def trace_of(self, run: Any) -> dict[str, tuple[str, int]]:
        """Status and attempts of a run's steps by name."""
        rows = await self.get(f"/v1/runs/{run['run_id']}/trace")
        return {row["name"]: (row["status"], row["attempts"]) for row in rows}

    def calls_by_function(self) -> Counter[str]:
        """How often each function was called."""
        return Counter(notice.function_id for notice in self.watcher.notices if notice.kind is NoticeKind.CALLED)


@asynccontextmanager
async def dev_server(
    listener: socket.socket, targets: tuple[str, ...], settings: ServerSettings | None = None
) -> AsyncIterator[Server]:
    """A dev server on an empty database, once every target is registered. It retries at once."""
    settings = settings or ServerSettings()
    watcher, stopping = Watcher(), asyncio.Event()
    options = DevOptions(targets=targets, database=MEMORY, retry_delay_ms=10)
    key = settings.signing_keys[0] if settings.signing_keys else ""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    origin = own_origin(listener)
    with pytest.MonkeyPatch.context() as environment:
        for variable in ("STEPWELL_DEV", "STEPWELL_BASE_URL"):
            environment.setenv(variable, "")
        async with aiohttp.ClientSession(origin, headers=headers) as session:
            dev = asyncio.create_task(
                serve(options, listener, settings, observe=watcher.observe, say=watcher.say, stopping=stopping)
            )
            try:
                for target in targets:
                    await _registered(dev, watcher, target)
                yield Server(origin, watcher, session)
            finally:
                stopping.set()
                await dev


async def _registered(dev: asyncio.Task[None], watcher: Watcher, target: str) -> None:
    """Return once a target is registered; raises AssertionError with what the server said if it will not be."""
    ended = (f"{target} is registered", f"{target} did not register")
    said = asyncio.create_task(watcher.said(*ended))
    await asyncio.wait([dev, said], return_when=asyncio.FIRST_COMPLETED)
    said.cancel()
    assert any(ended[0] in line for line in watcher.lines), f"the server said: {watcher.lines}"
