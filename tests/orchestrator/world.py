"""The whole engine in memory on a virtual clock, with a small app, and the API in front of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

import stepwell
from stepwell_orchestrator.api.app import create_api
from stepwell_orchestrator.api.deps import Deps
from stepwell_orchestrator.entry.embedded import Embedded
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.model.notice import Notice
from stepwell_orchestrator.model.run import RunHeader

UNKNOWN_ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def counting_entropy() -> Callable[[int], bytes]:
    """Entropy that counts, so that ids are the same in every test run."""
    counter = itertools.count(1)
    return lambda length: next(counter).to_bytes(length)


async def until(predicate: Callable[[], Awaitable[bool]]) -> None:
    """Let the loop run until something holds; fails when it does not come to that."""
    # How many passes of the loop a thread takes is anybody's guess; the time is against hanging.
    async with asyncio.timeout(60):
        while not await predicate():  # noqa: ASYNC110 (a condition sets no event)
            await asyncio.sleep(0)


def shop() -> stepwell.App:
    """An app with a function of each temper."""
    app = stepwell.App("shop", dev=True)

    @app.function(on="shop/order", retries=0)
    async def fulfil(ctx: stepwell.Context) -> dict[str, Any]:
        user = await ctx.step.run("fetch-user", lambda: {"name": "Ada"})
        await ctx.step.sleep("cool-off", "1h")
        return {"user": user}

    @app.function(on="shop/bad", retries=0)
    async def refuse(ctx: stepwell.Context) -> None:
        def declined() -> None:
            raise stepwell.NonRetriableError("card declined")

        await ctx.step.run("charge", declined)

    return app


@dataclass(slots=True)
class World:
    engine: Embedded
    clock: VirtualClock
    notices: list[Notice] = field(default_factory=list)

    def client(self, **options: Any) -> httpx.AsyncClient:
        """A client of the API, made with ``options``."""
        deps = Deps(
            ingest=self.engine.ingest,
            register=self.engine.register,
            control=self.engine.control,
            checkpointer=self.engine.checkpointer,
            journal=self.engine.journal,
            registry=self.engine.registry,
            queued=self.engine.queue,
            clock=self.clock,
            reached_at={"asked": "http://reached:3000/api/inngest"}.get,
            changed_limits=self.engine.changed_limits,
            waits_of_runs=self.engine.waits_of_runs,
            waits_of_events=self.engine.waits_of_events,
        )
        transport = httpx.ASGITransport(app=create_api(deps, **options), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://api")

    async def send(self, name: str, data: dict[str, Any] | None = None) -> str:
        [internal_id] = await self.engine.send(stepwell.Event(name=name, data=data or {}))
        return internal_id

    async def run_of(self, event_id: str) -> RunHeader:
        """The first run of an event, once there is one."""

        async def started() -> bool:
            return bool(await self.engine.journal.runs_of_event(event_id))

        await until(started)
        return (await self.engine.journal.runs_of_event(event_id))[0]

    async def ended(self, run_id: str) -> RunHeader:
        """A run once it has ended."""

        async def over() -> bool:
            header = await self.engine.journal.get_header(run_id)
            return header is not None and header.outcome is not None

        await until(over)
        header = await self.engine.journal.get_header(run_id)
        assert header is not None
        return header

    async def step_reached(self, run_id: str, status: str) -> None:
        """Wait until a step of the run has the status."""

        async def reached() -> bool:
            run = await self.engine.journal.load(run_id)
            return run is not None and any(entry.status == status for entry in run.entries.values())

        await until(reached)


@asynccontextmanager
async def running_world(*apps: stepwell.App, **options: Any) -> AsyncIterator[World]:
    """An engine at work, made with ``options``, with the apps served."""
    notices: list[Notice] = []
    clock = VirtualClock()
    async with Embedded(None, clock=clock, observe=notices.append, entropy=counting_entropy(), **options) as engine:
        for app in apps:
            await engine.serve(app)
        yield World(engine, clock, notices)
