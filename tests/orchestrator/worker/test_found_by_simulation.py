"""Interleavings that the simulator found, each in its smallest form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest
from stepwell_orchestrator.engine.runs import ending
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, DRIVE_LEASE_MS
from stepwell_orchestrator.model.decision import EndRun, PutEntry
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.ports import Acquired, Busy, Ports
from stepwell_orchestrator.worker import Worker
from tests.orchestrator.worker.harness import Script, ScriptInvoker, World
from tests.orchestrator.worker.test_crash_everywhere import Fate, Scenario, live


class LateClock:
    """A clock that is behind the world's."""

    def __init__(self, world: World, behind_ms: int) -> None:
        self._clock = world.clock
        self._behind_ms = behind_ms

    def now_ms(self) -> int:
        return self._clock.now_ms() - self._behind_ms

    async def sleep_until(self, at_ms: int) -> None:
        await self._clock.sleep_until(at_ms + self._behind_ms)


class RefusingScript(Script):
    """Plans its steps, and fails every call that targets one."""

    async def answer(self, request: CallRequest, target: str) -> tuple[int, Any]:
        if target == DISCOVERY_STEP_ID:
            return await super().answer(request, target)
        return 500, {"name": "RuntimeError", "message": "out of memory"}


def refusing() -> RefusingScript:
    return RefusingScript([["p", "q"]])


class CrossedJournal:
    """A journal on which somebody else does something right after the first call of one method."""

    def __init__(self, world: World, method: str, meddle: Callable[[World, str], Awaitable[Any]]) -> None:
        self._world = world
        self._method = method
        self._meddle = meddle

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._world.backend.journal, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            if name == self._method:
                self._method = ""
                await self._meddle(self._world, getattr(args[0], "run_id", args[0]))
            return result

        return call


async def cancel(world: World, run_id: str) -> None:
    """Cancel the run."""
    await world.backend.journal.commit(run_id, [EndRun(ending.cancelled(world.clock.now_ms()))], term=None)


async def take_over(world: World, run_id: str) -> None:
    """Drive the run as a worker does that finds the lease expired."""
    now_ms = world.clock.now_ms() + DRIVE_LEASE_MS
    assert isinstance(await world.backend.journal.acquire(run_id, now_ms, now_ms + DRIVE_LEASE_MS), Acquired)


async def journal_planned_steps(world: World, run_id: str) -> None:
    """Finish the planned steps as workers do that find their claims expired."""
    run = await world.run()
    puts = [
        PutEntry(replace(entry, status=StepStatus.COMPLETED, memo={"data": 1}), entry) for entry in run.entries.values()
    ]
    await world.backend.journal.commit(run_id, puts, term=None)


@pytest.mark.parametrize("behind_ms", [1, 2_000])
async def test_retry_survives_a_worker_whose_clock_is_behind(behind_ms: int) -> None:
    """A worker that finds a retry ahead of its own clock does not lose it."""
    world = World(Script([["a"]], function_fails=1))
    await world.register()
    await world.send()
    await world.settle()
    due_ms = await world.backend.queue.next_at_ms()
    assert due_ms is not None
    await world.clock.advance(due_ms - world.clock.now_ms())
    backend = world.backend
    clock = LateClock(world, behind_ms)
    invoker = ScriptInvoker(world.scripts)
    late = Worker(
        Ports(backend.journal, backend.waits, backend.registry, backend.queue, invoker, clock, flow=backend.flow)
    )
    for delivery in await backend.queue.receive(1, due_ms, due_ms + DELIVERY_LEASE_MS):
        assert await late.handle(delivery.item, delivery.deliveries) is None
        await backend.queue.ack(delivery)
    assert len(world.script.calls) == 1
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_end_met_by_a_planned_step_is_told_whatever_crashes() -> None:
    """A run that fails in the call of a planned step emits its events once, wherever the worker dies."""
    unharmed = Fate(None)
    await live(Scenario(refusing), unharmed)
    for at in range(1, unharmed.calls + 1):
        for after in (False, True):
            world = await live(Scenario(refusing), Fate(at, after=after))
            where = f"crash {'after' if after else 'before'} port call {at}"
            assert (await world.run()).header.status is RunStatus.FAILED, where
            for name in ("inngest/function.finished", "inngest/function.failed"):
                assert len(await world.events_named(name)) == 1, where


async def test_claimed_step_of_a_cancelled_run_is_not_called() -> None:
    """A cancellation between the claim of a step and the read of its run keeps the step from starting."""
    world = World(Script([["p", "q"]]))
    await world.register()
    await world.send()
    await world.settle(worker=world.new_worker(CrossedJournal(world, "claim", cancel), world.backend.queue))
    await world.run_to_end()
    assert world.script.bodies == {}
    assert (await world.run()).header.status is RunStatus.CANCELLED


async def test_takeover_of_a_run_that_is_cancelled_meanwhile_ends_quietly() -> None:
    """A cancellation between a takeover's read and its first commit makes it release the lease, without a failure."""
    world = World(Script([["a"]]))
    await world.register()
    event = await world.send()
    world.script.stages = [["sleep:1h"]]
    await world.settle()
    (header,) = await world.backend.journal.runs_of_event(event.internal_id)
    now_ms = world.clock.now_ms()
    await world.backend.journal.acquire(header.run_id, now_ms, now_ms)
    worker = world.new_worker(CrossedJournal(world, "run_of", cancel), world.backend.queue)
    (delivery,) = await world.backend.queue.receive(1, now_ms + 3_600_000, now_ms + 3_600_001)
    await world.clock.advance(3_600_000)
    assert await worker.handle(delivery.item, 1) is None
    run = await world.run()
    assert (run.header.status, run.header.lease_until_ms) == (RunStatus.CANCELLED, None)


async def test_driver_whose_lease_was_taken_makes_no_further_call() -> None:
    """A driver that another one has taken over from between two of its calls does not make the second."""
    world = World(Script([["a"], ["b"]]))
    await world.register()
    await world.send()
    await world.settle(worker=world.new_worker(CrossedJournal(world, "commit", take_over), world.backend.queue))
    assert world.script.bodies == {"a": 1}


async def test_wait_whose_driver_is_overtaken_ends_without_a_place() -> None:
    """A timer whose lease is taken over before its commit ends its sleep all the same, and wishes to drive again."""
    world = World(Script([["sleep:1h"]]))
    await world.register()
    await world.send()
    await world.settle()
    await world.clock.advance(3_600_000)
    await world.settle(worker=world.new_worker(CrossedJournal(world, "run_of", take_over), world.backend.queue))
    (entry,) = (await world.run()).entries.values()
    assert (entry.status, entry.place) == (StepStatus.COMPLETED, None)
    header = (await world.run()).header
    # The wishes of the first drive, of the timer, of the driver that overtook it, and of the timer once more.
    assert (header.term, header.wanted) == (3, 4)


async def test_claimed_step_that_another_worker_finished_is_not_called() -> None:
    """A worker whose claim ran out and whose step was journaled before it read the run does not run the step again."""
    world = World(Script([["p", "q"]]))
    await world.register()
    await world.send()
    crossed = CrossedJournal(world, "claim", journal_planned_steps)
    await world.settle(worker=world.new_worker(crossed, world.backend.queue))
    await world.run_to_end()
    assert world.script.bodies == {}
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_wish_during_a_discovery_does_not_cost_another_one() -> None:
    """What a driver learnt in a discovery is kept when a wish comes before its release, for n + 3 calls in all."""
    world = World(Script([["p", "q"], ["after"]]))
    await world.register()
    await world.send()

    async def wish(world: World, run_id: str) -> None:
        now_ms = world.clock.now_ms()
        assert isinstance(await world.backend.journal.acquire(run_id, now_ms, now_ms), Busy)

    worker = world.new_worker(CrossedJournal(world, "commit", wish), world.backend.queue)
    (routing,) = await world.backend.queue.receive(1, world.clock.now_ms(), world.clock.now_ms() + DELIVERY_LEASE_MS)
    await worker.handle(routing.item, 1)
    await world.backend.queue.ack(routing)
    (driving,) = await world.backend.queue.receive(1, world.clock.now_ms(), world.clock.now_ms() + DELIVERY_LEASE_MS)
    await worker.handle(driving.item, 1)
    await world.backend.queue.ack(driving)
    await world.run_to_end()
    assert len(world.script.calls) == 5


async def test_failed_renewal_is_made_up_for_by_the_next() -> None:
    """A lease outlives a renewal that fails: the next one is tried, and the function is called once."""
    world = World(Script([["a"]]))
    await world.register()
    await world.send()

    async def refuse(_world: World, _run_id: str) -> None:
        raise StoreError("throttled")

    async def work_long(_target: str) -> None:
        await world.clock.sleep_until(world.clock.now_ms() + 2 * DRIVE_LEASE_MS)

    world.script.before_reply = work_long
    worker = world.new_worker(CrossedJournal(world, "renew", refuse), world.backend.queue)
    settling = asyncio.create_task(world.settle(worker=worker))
    await world.clock.advance(DRIVE_LEASE_MS + 5_000)
    (header,) = await world.headers()
    assert isinstance(await world.backend.journal.acquire(header.run_id, world.clock.now_ms(), 0), Busy)
    await world.clock.advance(4 * DRIVE_LEASE_MS)
    await settling
    assert world.script.bodies == {"a": 1}


STOPPABLE = {"cancel": [{"event": "order/cancelled", "timeout": "1m"}]}


async def test_event_that_is_routed_again_files_nothing_for_an_ended_run() -> None:
    """A trigger that is delivered again after its run has ended leaves no cancellation filed."""
    world = World(Script([]), options=STOPPABLE)
    await world.register()
    event = await world.send()
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.COMPLETED
    await world.worker.handle(items.route(event.internal_id, 0).item, 1)
    async with world.backend.database.read() as db:
        assert db.execute("SELECT count(*) FROM pauses").fetchone() == (0,)


@pytest.mark.parametrize(("after_ms", "status"), [(59_999, RunStatus.CANCELLED), (60_000, RunStatus.RUNNING)])
async def test_event_that_is_routed_again_gives_a_cancellation_no_more_time(after_ms: int, status: RunStatus) -> None:
    """A cancellation's timeout counts from the run's start, however often, and however late, its trigger is routed."""
    world = World(Script([["sleep:1d"]]), options=STOPPABLE)
    await world.register()
    event = await world.send()
    await world.settle()
    await world.clock.advance(50_000)
    await world.worker.handle(items.route(event.internal_id, 0).item, 1)
    await world.clock.advance(after_ms - 50_000)
    await world.send("order/cancelled")
    await world.settle()
    assert (await world.run()).header.status is status


async def test_deadline_that_comes_early_is_handed_back() -> None:
    """A run is not cancelled for not having started before its time to start is up, whenever the schedule fires."""
    world = World(Script([["a"]]), options={"timeouts": {"start": "10s"}})
    await world.register()
    event = await world.send()
    await world.worker.handle(items.route(event.internal_id, 0).item, 1)
    due_at_ms = world.clock.now_ms() + 10_000
    deadline = items.deadline((await world.run()).header.run_id, "start", 10_000, due_at_ms).item
    assert await world.worker.handle(deadline, 1) == due_at_ms
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.COMPLETED
