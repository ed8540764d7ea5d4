"""Signals: a name, one waiter, one resolution."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.queue_item import SignalArrived
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.worker.harness import Script, World


def waiting(conflict: str = "fail", signal: str = "approve") -> dict[str, tuple[str, dict[str, Any]]]:
    return {"wait": ("WaitForSignal", {"signal": signal, "timeout": "10s", "conflict": conflict})}


async def started(script: Script, count: int = 1) -> World:
    world = World(script)
    await world.register()
    for number in range(1, count + 1):
        await world.send(number=number)
        await world.pass_time(1)
    return world


async def send_signal(world: World, data: Any) -> None:
    """What the API does once it knows who waits."""
    wait = await world.backend.waits.get_signal("approve")
    assert wait is not None
    cause = SignalArrived("approve", data)
    await world.worker.handle(items.settle(wait.run_id, wait.step_id, cause, world.clock.now_ms()).item, 1)


async def test_a_signal_resumes_its_waiter() -> None:
    """The memo wraps the signal's name and data, and the name is free again."""
    world = await started(Script([["wait"]], ops=waiting()))
    await send_signal(world, {"by": "ada"})
    entry = await world.entry("wait")
    assert entry.memo == {"data": {"signal": "approve", "data": {"by": "ada"}}}
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert await world.backend.waits.get_signal("approve") is None


async def test_a_signal_that_never_comes_times_out_with_null() -> None:
    """The memo is null and the name is free again."""
    world = await started(Script([["wait"]], ops=waiting()))
    await world.pass_time(10_000)
    entry = await world.entry("wait")
    assert (entry.status, entry.memo) == (StepStatus.TIMED_OUT, None)
    assert await world.backend.waits.get_signal("approve") is None


async def test_a_second_waiter_is_refused() -> None:
    """With conflict fail, the second run's step fails and the first one keeps the name."""
    world = await started(Script([["wait"]], ops=waiting()), count=2)
    first, second = await world.headers()
    wait = await world.backend.waits.get_signal("approve")
    assert wait is not None
    assert wait.run_id == first.run_id
    run = await world.backend.journal.load(second.run_id)
    assert run is not None
    (entry,) = run.entries.values()
    assert entry.memo["error"]["message"] == "Signal conflict; signal wait already exists for another run"


async def test_a_second_waiter_may_take_the_name() -> None:
    """With conflict replace, the signal goes to the later run and the earlier one can only time out."""
    world = await started(Script([["wait"]], ops=waiting("replace")), count=2)
    await send_signal(world, 1)
    first, second = await world.headers()
    assert (first.status, second.status) == (RunStatus.RUNNING, RunStatus.COMPLETED)
    await world.run_to_end()
    assert {header.status for header in await world.headers()} == {RunStatus.COMPLETED}


async def test_an_ended_run_frees_its_names() -> None:
    """Cancelling the waiter leaves the name to the next."""
    world = await started(Script([["wait"]], ops=waiting()))
    await world.worker.handle(items.cancel((await world.run()).header.run_id, 0).item, 1)
    assert await world.backend.waits.get_signal("approve") is None


async def test_a_waiter_whose_run_has_ended_does_not_keep_the_name() -> None:
    """A run that was cancelled while it became the waiter leaves its name taken; the next run gets it all the same."""
    world = await started(Script([["wait"]], ops=waiting()))
    (first,) = await world.headers()
    wait = await world.backend.waits.get_signal("approve")
    assert wait is not None
    await world.worker.handle(items.cancel(first.run_id, 0).item, 1)
    assert await world.backend.waits.take_signal(wait, replace=False, now_ms=world.clock.now_ms())
    await world.send(number=2)
    await world.settle()
    (_, second) = await world.headers()
    taken = await world.backend.waits.get_signal("approve")
    assert taken is not None
    assert taken.run_id == second.run_id


@pytest.mark.parametrize("signal", ["", "x" * 256])
async def test_a_bad_name_fails_the_run(signal: str) -> None:
    """A name that is empty or over its bound is a final error."""
    ops = {"wait": ("WaitForSignal", {"signal": signal, "timeout": "10s"})}
    world = await started(Script([["wait"]], ops={"wait": ops["wait"]}))
    outcome = (await world.run()).header.outcome
    if signal:
        assert outcome is not None
        assert outcome.error is not None
        assert outcome.error["name"] == "InvalidSignal"
    else:
        wait = await world.backend.waits.get_signal("wait")
        assert wait is not None, "an absent name falls back to the opcode's"
