"""How runs with limits start, whoever dies, and however often their items come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.model.queue_item import Cancel, QueueItem, Start
from tests.orchestrator.flow.stage import SLUG, Stage, a_stage

RUNS = {"fn": [{"limit": 1}], "step": [{"limit": 1}]}


class DeadError(Exception):
    """The worker is dead."""


class Mortal:
    """A port at whose nth call of a method the worker dies."""

    def __init__(self, port: Any, method: str, nth: int = 1) -> None:
        self.port, self.method, self.left = port, method, nth

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.port, name)
        if name != self.method:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise DeadError
            return await method(*args, **kwargs)

        return call


async def routed(stage: Stage, count: int = 1) -> list[str]:
    """Events are sent and routed, and nobody works; the ids of their runs."""
    await stage.stop()
    worker = stage.new_worker()
    await stage.send(count)
    for delivery in await stage.local.queue.receive(100, stage.clock.now_ms(), stage.clock.now_ms() + 30_000):
        await worker.handle(delivery.item, 1)
        await stage.local.queue.ack(delivery)
    return [header.run_id for header in await stage.headers()]


async def handle(stage: Stage, work: Any, **ports: Any) -> int | None:
    """Handle an item as the queue would hand it out."""
    return await stage.new_worker(**ports).handle(QueueItem("item", work, stage.clock.now_ms()), 1)


async def holders(stage: Stage) -> list[tuple[str, str]]:
    """Every slot that is held."""
    async with stage.local.database.read() as db:
        return db.execute("SELECT gate, holder FROM slots ORDER BY holder").fetchall()


async def waiting(stage: Stage) -> int:
    """How many stand in any line."""
    async with stage.local.database.read() as db:
        count: int = db.execute("SELECT count(*) FROM lines").fetchone()[0]
        return count


async def test_a_crash_between_slot_and_start_starts_the_run_once() -> None:
    """A starter that died with its slots and its start of a rate is followed by one that has them all the same."""
    async with a_stage("sqlite", concurrency=RUNS, throttle={"limit": 1, "period": "1h"}) as stage:
        (run_id,) = await routed(stage)
        with pytest.raises(DeadError):
            await handle(stage, Start(run_id), journal=Mortal(stage.store.journal, "acquire"))
        assert len(await holders(stage)) == 2
        stage.play.call_ms = lambda _data: 0
        await handle(stage, Start(run_id))
        (header,) = await stage.headers()
        assert header.outcome is not None
        assert await holders(stage) == []


async def test_a_start_that_is_delivered_twice_holds_one_slot() -> None:
    """A copy of the item, while the run is driven, takes nothing and gives nothing back."""
    async with a_stage("sqlite", concurrency=RUNS) as stage:
        (run_id,) = await routed(stage)
        driving = asyncio.ensure_future(handle(stage, Start(run_id)))
        await stage.clock.advance(500)
        held = await holders(stage)
        assert await handle(stage, Start(run_id)) is None
        assert await holders(stage) == held
        await stage.clock.advance(1_000)
        await driving
        assert len(held) == 2
        assert stage.most_at_once == 1
        assert await holders(stage) == []


async def test_a_run_cancelled_in_line_lets_the_next_one_go() -> None:
    """A waiter that is cancelled leaves its line; nobody behind it waits for longer."""
    async with a_stage("sqlite", concurrency=1) as stage:
        await stage.send()
        await stage.until(1)
        await stage.send()
        await stage.until(2)
        await stage.send()
        await stage.until(10)
        second = (await stage.headers())[1]
        await handle(stage, Cancel(second.run_id, stage.clock.now_ms()))
        assert await waiting(stage) == 1
        await stage.until(10_000)
        assert stage.begun == [(1, 0), (3, 1_000)]
        assert (await waiting(stage), await holders(stage)) == (0, [])


async def test_a_waiter_whose_run_ended_leaves_and_sends_for_the_next_one() -> None:
    """One that joined after its run's end was told leaves when it is sent for."""
    async with a_stage("sqlite", concurrency=1) as stage:
        first, second, third = await routed(stage, 3)
        order = {header.run_id: header.flow.order_ms for header in await stage.headers()}
        stage.play.call_ms = lambda _data: 0
        await handle(stage, Cancel(second, stage.clock.now_ms()))
        await handle(stage, Start(second))
        for run_id in (first, third):
            await handle(stage, Start(run_id))
        assert set(order) == {first, second, third}
        assert [header.status for header in await stage.headers()].count("completed") == 2
        assert (await waiting(stage), await holders(stage)) == (0, [])


async def test_a_slot_for_a_drive_that_was_another_one_is_given_back() -> None:
    """A start that comes after another drive began holds nothing for the first drive any more."""
    async with a_stage("sqlite", concurrency=1) as stage:
        (run_id,) = await routed(stage)
        now_ms = stage.clock.now_ms()

        class Overtaken:
            def __getattr__(self, name: str) -> Any:
                return getattr(stage.store.journal, name)

            async def acquire(self, *args: Any) -> Any:
                await stage.store.journal.acquire(run_id, now_ms, now_ms + 10)
                await stage.store.journal.release(run_id, 1, 1, None)
                return await stage.store.journal.acquire(*args)

        stage.play.call_ms = lambda _data: 0
        await handle(stage, Start(run_id), journal=Overtaken())
        assert await holders(stage) == []


async def test_a_limit_costs_nothing_to_functions_without_one() -> None:
    """A run without limits is started without a look at it first, or at any gate."""
    async with a_stage("sqlite") as stage:
        (run_id,) = await routed(stage)
        items = await stage.local.queue.items_of_run(run_id)
        assert [item.work for item in items] == [Start(run_id, SLUG)]

        asked: list[str] = []

        class Seen:
            def __getattr__(self, name: str) -> Any:
                asked.append(name)
                return getattr(stage.store.journal, name)

        class NoGates:
            def __getattr__(self, name: str) -> Any:
                raise AssertionError(f"{name} of a gate was asked for")

        nothing: Any = NoGates()
        stage.play.call_ms = lambda _data: 0
        flow = FlowPorts(nothing, nothing, nothing, nothing)
        await handle(stage, items[0].work, flow=flow, journal=Seen())
        assert asked[0] == "acquire"
        assert (await stage.headers())[0].outcome is not None
