"""What was queued for a step as older code had it does nothing to the step as it is now."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from stepwell_orchestrator.controlling.lines import Lines
from stepwell_orchestrator.engine.opcodes.change import dropped
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.engine.waits.waiting import take
from stepwell_orchestrator.model.decision import PutEntry
from stepwell_orchestrator.model.queue_item import (
    Cause,
    ChildEnded,
    EventArrived,
    Execute,
    QueueItem,
    SignalArrived,
    WaitRefused,
)
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.worker.dispatch import Dispatcher
from stepwell_orchestrator.worker.limiting.gatekeeping import Gatekeeper
from tests.orchestrator.worker.harness import Script, World

OPS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "sleep": ("Sleep", {"duration": "10s"}),
    "event": ("WaitForEvent", {"event": "paid", "timeout": "10s"}),
    "signal": ("WaitForSignal", {"signal": "go", "timeout": "10s"}),
    "invoke": ("InvokeFunction", {"function_id": "shop-child", "timeout": "10s"}),
}
CAUSES: Final = ("event", "other event", "signal", "child", "refused")


async def waiting(kind: str) -> tuple[World, StepEntry]:
    """A run whose only step, of that kind, has replaced one of older code."""
    child = Script([["nap"]], ops={"nap": ("Sleep", {"duration": "1h"})})
    world = World(Script([[kind]], ops=OPS), others={"shop-child": child})
    await world.register()
    await world.send()
    await world.settle()
    older = await world.entry(kind)
    newer = replace(older, attempt=1)
    run = await world.run()
    await world.backend.journal.commit(run.header.run_id, [PutEntry(newer, older)], term=None)
    return world, newer


async def cause_of(world: World, name: str) -> Cause:
    """What an older step waited for, and now comes."""
    match name:
        case "event":
            return EventArrived((await world.send("unpaid")).internal_id)
        case "other event":
            await world.clock.advance(1)
            return EventArrived((await world.run()).header.event_ids[0])
        case "signal":
            return SignalArrived("stop", 1)
        case "child":
            return ChildEnded((await world.run()).header.run_id)
        case _:
            return WaitRefused("no such function", 1)


@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize("name", CAUSES)
async def test_what_an_older_step_waited_for_ends_no_newer_one(kind: str, name: str) -> None:
    """Neither another kind of step nor another wait of the same kind takes it, and the step ends by its own time."""
    world, newer = await waiting(kind)
    run = await world.run()
    stale = items.settle(run.header.run_id, newer.step_id, await cause_of(world, name), world.clock.now_ms()).item
    assert await world.worker.handle(stale, 1) is None
    assert await world.entry(kind) == newer
    await world.pass_time(10_000)
    assert (await world.run()).header.status is RunStatus.COMPLETED


@pytest.mark.parametrize("kind", OPS)
async def test_the_timer_of_an_older_sleep_ends_no_newer_wait(kind: str) -> None:
    """It waits for the time of the step as it is now."""
    world, newer = await waiting(kind)
    run = await world.run()
    stale = items.timer(run.header.run_id, newer.step_id, world.clock.now_ms()).item
    assert await world.worker.handle(stale, 1) == newer.due_at_ms
    assert await world.entry(kind) == newer


async def test_the_timers_of_an_older_and_a_newer_step_are_two_items() -> None:
    """A queue that leaves an item of the same id as it is must not keep the newer step until the older one's time."""
    world, newer = await waiting("sleep")
    older = items.timer("run", newer.step_id, world.clock.now_ms() + 86_400_000).item
    assert older.id != items.timer("run", newer.step_id, world.clock.now_ms() + 1_000).item.id


@pytest.mark.parametrize("kind", OPS)
async def test_an_older_attempt_is_not_executed(kind: str) -> None:
    """A step that was to be executed, and waits now, is not called for by the item of its old attempt."""
    world, newer = await waiting(kind)
    run, calls = await world.run(), len(world.script.calls)
    work = Execute(run.header.run_id, newer.step_id, 0)
    assert await world.worker.handle(QueueItem("stale", work, world.clock.now_ms()), 1) is None
    assert await world.entry(kind) == newer
    assert len(world.script.calls) == calls


async def test_a_signal_that_nobody_waits_for_any_more_is_free() -> None:
    """A signal that a driver which died did not let go belongs to the next that asks, and resumes nobody before."""
    world, newer = await waiting("event")
    run = await world.run()
    old = SignalWait("go", run.header.run_id, newer.step_id, world.clock.now_ms() + 9_999)
    assert await world.backend.waits.take_signal(old, replace=False, now_ms=world.clock.now_ms())
    other = replace(newer, step_id="other", op=(await signal_entry()).op, opts={"signal": "go", "conflict": "fail"})
    await world.backend.journal.commit(run.header.run_id, [PutEntry(other)], term=None)
    backend = world.backend
    lines = Lines(backend.flow, backend.journal, backend.registry, backend.queue, world.clock)
    keeper = Gatekeeper(backend.flow, lines, world.clock)
    dispatcher = Dispatcher(backend.journal, backend.waits, backend.registry, backend.queue, world.clock, keeper)
    await dispatcher.dispatch(take(run, other))
    holder = await world.backend.waits.get_signal("go")
    assert holder is not None
    assert holder.step_id == "other"


async def signal_entry() -> StepEntry:
    """A step that waits for a signal."""
    _, entry = await waiting("signal")
    assert entry.status is StepStatus.WAITING
    return entry


@pytest.mark.parametrize("kind", OPS)
async def test_a_step_that_was_given_up_is_ended_by_nothing(kind: str) -> None:
    """What comes for a dropped step, its timer included, leaves it dropped and raises nothing."""
    world, newer = await waiting(kind)
    run = await world.run()
    gone = dropped(newer, world.clock.now_ms())
    await world.backend.journal.commit(run.header.run_id, [gone], term=None)
    for name in CAUSES:
        cause = await cause_of(world, name)
        await world.worker.handle(items.settle(run.header.run_id, newer.step_id, cause, 1).item, 1)
    await world.worker.handle(items.timer(run.header.run_id, newer.step_id, 1).item, 1)
    assert await world.entry(kind) != newer
    assert not (await world.entry(kind)).memoised
