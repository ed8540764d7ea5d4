"""The whole engine in one process, with real apps."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell.wire.times import HOUR_MS
from stepwell_orchestrator.accepting.register import InvalidFunctionsError
from stepwell_orchestrator.entry.embedded import Embedded
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.notice import NoticeKind
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.world import running_world, shop, until


async def test_run_goes_from_event_to_end() -> None:
    """An event starts the function, its sleep ends with the virtual clock, and the run completes with its output."""
    async with running_world(shop()) as world:
        run = await world.run_of(await world.send("shop/order"))
        await world.step_reached(run.run_id, "sleeping")
        await world.clock.advance(HOUR_MS - 1)
        header = await world.engine.journal.get_header(run.run_id)
        assert header is not None
        assert header.outcome is None
        await world.clock.advance(1)
        outcome = (await world.ended(run.run_id)).outcome
    assert outcome is not None
    assert (outcome.status, outcome.output) == (RunStatus.COMPLETED, {"user": {"name": "Ada"}})


async def test_events_of_a_served_app_come_in_here() -> None:
    """``app.send`` and ``step.send_event`` reach the engine without a network, and no more once it is closed."""
    app = stepwell.App("relay", dev=True)

    @app.function(on="relay/start")
    async def start(ctx: stepwell.Context) -> list[str]:
        return await ctx.step.send_event("fan", [stepwell.Event(name="relay/end"), stepwell.Event(name="relay/end")])

    @app.function(on="relay/end")
    async def end(ctx: stepwell.Context) -> str:
        return ctx.run_id

    async with running_world(app) as world:
        [event_id] = await app.send(stepwell.Event(name="relay/start"))
        run = await world.ended((await world.run_of(event_id)).run_id)
        assert run.outcome is not None
        for sent_id in run.outcome.output:
            assert (await world.ended((await world.run_of(sent_id)).run_id)).status is RunStatus.COMPLETED
        assert len(run.outcome.output) == 2
    assert app.transport is None


async def test_send_sync_works_beside_the_engine() -> None:
    """``send_sync`` from a thread hands its events over to the engine's loop."""
    app = shop()
    async with running_world(app) as world:
        [event_id] = await asyncio.to_thread(app.send_sync, stepwell.Event(name="shop/bad"))
        assert (await world.run_of(event_id)).function_id == "shop-refuse"


async def test_refused_app_changes_nothing() -> None:
    """An app whose registration is refused leaves the functions that were there before, and is not connected."""
    bad = stepwell.App("shop", dev=True)

    @bad.function(on=stepwell.on("shop/order", if_="event.data.n =="))
    async def broken(ctx: stepwell.Context) -> None: ...

    async with running_world(shop()) as world:
        with pytest.raises(InvalidFunctionsError, match="function shop-broken: triggers"):
            await world.engine.serve(bad)
        slugs = [function.slug for function in await world.engine.registry.list_functions()]
    assert slugs == ["shop-fulfil", "shop-refuse"]
    assert bad.transport is None


async def test_state_too_large_for_a_call_is_fetched() -> None:
    """A run whose state is over the size of a call request goes on, reading the state through the API's back door."""
    app = stepwell.App("heavy", dev=True)
    text = "x" * 1_500_000

    @app.function(on="heavy/go")
    async def carry(ctx: stepwell.Context) -> int:
        parts = [await ctx.step.run(f"part-{number}", lambda: text) for number in range(4)]
        return sum(len(part) for part in parts)

    async with running_world(app) as world:
        run = await world.ended((await world.run_of(await world.send("heavy/go"))).run_id)
    assert run.outcome is not None
    assert run.outcome.output == 4 * len(text)


async def test_runs_go_on_when_the_file_is_opened_again(tmp_path: Path) -> None:
    """A run that sleeps when the engine is closed wakes up in the next one on the same file, repeating no step."""
    clock, bodies = VirtualClock(), []
    path = tmp_path / "journal.db"

    def app() -> stepwell.App:
        app = stepwell.App("nap", dev=True)

        @app.function(on="nap/go")
        async def nap(ctx: stepwell.Context) -> Any:
            first = await ctx.step.run("first", lambda: bodies.append("first"))
            await ctx.step.sleep("long", "1d")
            return first

        return app

    async with Embedded(path, clock=clock) as engine:
        await engine.serve(app())
        [event_id] = await engine.send(stepwell.Event(name="nap/go"))

        async def asleep() -> bool:
            runs = await engine.journal.runs_of_event(event_id)
            run = await engine.journal.load(runs[0].run_id) if runs else None
            return run is not None and any(entry.status == "sleeping" for entry in run.entries.values())

        await until(asleep)
    notices: list[Any] = []
    async with Embedded(path, clock=clock, observe=notices.append) as engine:
        await engine.serve(app())
        await clock.advance(24 * HOUR_MS)

        async def over() -> bool:
            return (await engine.journal.runs_of_event(event_id))[0].outcome is not None

        await until(over)
    assert bodies == ["first"]
    assert [notice.kind for notice in notices if notice.kind is NoticeKind.RUN_COMPLETED] == [NoticeKind.RUN_COMPLETED]


async def test_file_has_one_owner(tmp_path: Path) -> None:
    """A second engine on the same file is refused in one line that says who has it."""
    async with Embedded(tmp_path / "journal.db"):
        with pytest.raises(StoreError, match="is in use by another process"):
            Embedded(tmp_path / "journal.db")
