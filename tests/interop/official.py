"""An app of the official Python package on FastAPI and uvicorn, and our dev server beside it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import fastapi
import pytest
import uvicorn

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import MEMORY, DevOptions, own_origin, serve
from stepwell_orchestrator.entry.settings import ServerSettings
from stepwell_orchestrator.model.notice import Notice, NoticeKind

with warnings.catch_warnings():
    # The package defines its models in a form that pydantic has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import inngest
    import inngest.fast_api

Define = Callable[[inngest.Inngest], list[Any]]
"""Defines an app's functions on a client."""


class QuietServer(uvicorn.Server):
    """Leaves signals to the test run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(api: fastapi.FastAPI, listener: socket.socket) -> AsyncIterator[None]:
    """``api`` on uvicorn."""
    server = QuietServer(uvicorn.Config(api, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


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

    async def told(self, kind: NoticeKind, function_id: str = "", count: int = 1) -> Notice:
        """The ``count``-th notice of a kind, of a function if given."""
        while True:
            found = [n for n in self.notices if n.kind is kind and function_id in ("", n.function_id)]
            if len(found) >= count:
                return found[count - 1]
            self._told.clear()
            await self._told.wait()

    async def said(self, text: str) -> None:
        """Return once a line holds ``text``."""
        while not any(text in line for line in self.lines):
            self._told.clear()
            await self._told.wait()


@dataclass(frozen=True, slots=True)
class Official:
    """A dev server that serves an official app: what it told, and its API."""

    watcher: Watcher
    session: aiohttp.ClientSession

    async def send(self, name: str, data: dict[str, Any]) -> str:
        """Send one event; its internal id."""
        async with self.session.post("/e/key", json={"name": name, "data": data}) as answer:
            [event_id] = (await answer.json())["ids"]
            return str(event_id)

    async def get(self, path: str) -> Any:
        """The data the API answers with."""
        async with self.session.get(path) as answer:
            return (await answer.json())["data"]

    async def run_of(self, event_id: str) -> Any:
        """The one run an event started."""
        [run] = await self.get(f"/v1/events/{event_id}/runs")
        return run

    async def trace_of(self, run: Any) -> dict[str, tuple[str, int]]:
        """Status and attempts of a run's steps by name."""
        rows = await self.get(f"/v1/runs/{run['run_id']}/trace")
        return {row["name"]: (row["status"], row["attempts"]) for row in rows}


@asynccontextmanager
async def official(monkeypatch: pytest.MonkeyPatch, define: Define) -> AsyncIterator[Official]:
    """An app called ``official``, registered with a dev server on an empty database."""
    for variable in ("STEPWELL_DEV", "STEPWELL_BASE_URL"):
        monkeypatch.setenv(variable, "")
    watcher, stopping = Watcher(), asyncio.Event()
    with listen("127.0.0.1", 0) as listener, listen("127.0.0.1", 0) as app_listener:
        origin, app_origin = own_origin(listener), own_origin(app_listener)
        client = inngest.Inngest(
            app_id="official",
            is_production=False,
            api_base_url=origin,
            event_api_base_url=origin,
            logger=logging.getLogger("official"),
        )
        api = fastapi.FastAPI()
        inngest.fast_api.serve(api, client, define(client))
        options = DevOptions(targets=(f"{app_origin}/api/inngest",), database=MEMORY, retry_delay_ms=10)
        async with served(api, app_listener), aiohttp.ClientSession(origin) as session:
            dev = asyncio.create_task(
                serve(options, listener, ServerSettings(), observe=watcher.observe, say=watcher.say, stopping=stopping)
            )
            try:
                await watcher.said("is registered")
                yield Official(watcher, session)
            finally:
                stopping.set()
                await dev
