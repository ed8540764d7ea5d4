"""What a drive leaves unwritten, and who notices by something else what that would have shown (decision 16)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stepwell.wire.opcodes import Op
from stepwell.wire.registration import Trigger
from stepwell_orchestrator.engine.runs import ending
from stepwell_orchestrator.limits import DRIVE_LEASE_MS, FRESH_END_MS
from stepwell_orchestrator.model.decision import EndRun
from stepwell_orchestrator.model.function import App
from stepwell_orchestrator.model.queue_item import Drive, QueueItem
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.ports import Acquired
from tests.orchestrator.worker.harness import Script, World

FINISHED = "inngest/function.finished"
HOUR_MS = 3_600_000


class Counted:
    """A journal whose calls are counted by name."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.calls.append(name)
        return getattr(self._journal, name)


async def a_world(script: Script, **options: Any) -> World:
    """A world in which one run has gone as far as it gets."""
    world = World(script, **options)
    await world.register()
    await world.send()
    await world.settle()
    return world


async def ended_and_left(world: World) -> QueueItem:
    """End the only run as a driver that died before it did anything more; the item that it worked on."""
    header = (await world.run()).header
    now_ms = world.clock.now_ms()
    taken = await world.backend.journal.acquire(header.run_id, now_ms, now_ms + DRIVE_LEASE_MS)
    assert isinstance(taken, Acquired)
    end = EndRun(ending.completed("done", now_ms))
    held = taken.header
    assert await world.backend.journal.commit(header.run_id, [end], term=held.term, wanted=held.wanted) is True
    return QueueItem("lost", Drive(header.run_id, "test"), now_ms)


async def test_an_end_is_told_at_the_redelivery() -> None:
    """A driver that died between the end and what follows from it is made up for when its item comes again."""
    world = await a_world(Script([["sleep:1h"]]))
    item = await ended_and_left(world)
    await world.clock.advance(2 * FRESH_END_MS)
    assert await world.worker.handle(item, 1) is None
    assert await world.events_named(FINISHED) == []
    assert await world.worker.handle(item, 2) is None
    assert len(await world.events_named(FINISHED)) == 1


async def test_a_fresh_end_is_told_by_whoever_finds_it() -> None:
    """A copy of the item that comes for the first time tells of an end that its driver may not live to tell of."""
    world = await a_world(Script([["sleep:1h"]]))
    item = await ended_and_left(world)
    await world.clock.advance(FRESH_END_MS - 1)
    assert await world.worker.handle(item, 1) is None
    assert len(await world.events_named(FINISHED)) == 1


async def test_the_wait_of_a_run_that_ended_is_given_up_by_its_timer() -> None:
    """A pause that was filed when its run was over is taken out when its time comes."""
    world = await a_world(Script([["wait"]], ops={"wait": ("WaitForEvent", {"event": "order/paid", "timeout": "1h"})}))
    run = await world.run()
    await world.backend.journal.commit(run.header.run_id, [EndRun(ending.cancelled(world.clock.now_ms()))], term=None)
    await world.pass_time(HOUR_MS)
    async with world.backend.database.read() as db:
        assert db.execute("SELECT count(*) FROM pauses").fetchone() == (0,)


async def test_an_end_that_nobody_hears_is_not_queued() -> None:
    """The event of a run's end is stored, and takes no queue item where nothing is registered for it."""
    world = await a_world(Script([]))
    [event] = await world.events_named(FINISHED)
    assert f"{event.internal_id}:route" not in world.handled


async def test_an_end_that_a_function_hears_is_routed() -> None:
    """A function on the ends of others is started by them."""
    other = Script([])
    world = World(Script([]), others={"shop-audit": other})
    audit = replace(world.function, slug="shop-audit", triggers=(Trigger(FINISHED),))
    app = App("shop", "http://app.test/api", "test:v1", "", "sum", world.clock.now_ms())
    await world.backend.registry.put_app(app, [world.function, audit])
    await world.send()
    await world.settle()
    assert [header.status for header in await world.headers("shop-audit")] == [RunStatus.COMPLETED]


async def test_an_end_that_a_run_waits_for_is_routed() -> None:
    """A run that waits for the end of another one goes on by it."""
    waiting = {"wait": ("WaitForEvent", {"event": FINISHED, "timeout": "1d"})}
    world = await a_world(Script([["wait"]], ops=waiting))
    await world.send("order/created", number=2)
    world.script.stages = []
    await world.settle()
    statuses = {header.status for header in await world.headers()}
    assert statuses == {RunStatus.COMPLETED}


async def test_a_sleep_is_over_with_its_place() -> None:
    """What a timer brings is written once, with its place, and the progress has nothing to add."""
    world = await a_world(Script([["sleep:1h"], ["after"]]))
    counted = Counted(world.backend.journal)
    await world.clock.advance(HOUR_MS)
    await world.settle(worker=world.new_worker(counted, world.backend.queue))
    run = await world.run()
    assert run.header.status is RunStatus.COMPLETED
    assert run.header.progress.placed == {}
    assert all(entry.place is not None for entry in run.entries.values())
    # The sleep's end, the step, the end of the run. The header is looked at between the two calls, and after the last.
    assert (counted.calls.count("commit"), counted.calls.count("get_header")) == (3, 2)
    assert "release" not in counted.calls
    assert "load" not in counted.calls


async def test_what_comes_while_another_drives_is_written_all_the_same() -> None:
    """A timer that finds the run driven ends its sleep, and leaves a wish that the holder sees."""
    world = await a_world(Script([["sleep:1h"]]))
    run_id = (await world.run()).header.run_id
    await world.clock.advance(HOUR_MS)
    now_ms = world.clock.now_ms()
    taken = await world.backend.journal.acquire(run_id, now_ms, now_ms + DRIVE_LEASE_MS)
    assert isinstance(taken, Acquired)
    await world.settle()
    [entry] = (await world.run()).entries.values()
    assert (entry.op, entry.status, entry.place) == (Op.SLEEP, StepStatus.COMPLETED, None)
    held = taken.header
    # Of its two wishes the second came after the result: the holder that saw the first has to look again.
    assert await world.backend.journal.release(run_id, held.term, held.wanted, None) == held.wanted + 2


@pytest.mark.parametrize("passed_ms", [0, 2_000])
async def test_a_cancellation_is_looked_for_before_a_call_unless_the_lease_was_just_taken(passed_ms: int) -> None:
    """A driver that took the lease more than a second ago reads the header before its first call."""
    world = World(Script([["a"]]))
    await world.register()
    await world.send()

    class Slow(Counted):
        async def run_of(self, header: Any) -> Any:
            run = await world.backend.journal.run_of(header)
            await world.clock.advance(passed_ms)
            return run

    slow = Slow(world.backend.journal)
    await world.settle(worker=world.new_worker(slow, world.backend.queue))
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert slow.calls.count("get_header") == 2 + (passed_ms > 0)
