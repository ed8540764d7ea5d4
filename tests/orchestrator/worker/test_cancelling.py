"""Runs cancelled by an event, by a deadline, and many at once."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.queue_item import CancelMatching
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.worker.harness import SLUG, Script, World

BY_EVENT = {"cancel": [{"event": "order/cancelled", "if": "event.data.order == async.data.order"}]}


async def started(script: Script | None = None, *, options: Any, **event: Any) -> World:
    world = World(script or Script([["sleep:1d"]]), options=options)
    await world.register()
    await world.send(data={"order": 1}, **event)
    await world.settle()
    return world


@pytest.mark.parametrize(("order", "status"), [(1, RunStatus.CANCELLED), (2, RunStatus.RUNNING)])
async def test_only_the_matching_event_cancels(order: int, status: RunStatus) -> None:
    """The expression compares the cancelling event with the trigger."""
    world = await started(options=BY_EVENT)
    await world.send("order/cancelled", data={"order": order})
    await world.settle()
    assert (await world.run()).header.status is status


async def test_an_earlier_event_does_not_cancel() -> None:
    """A cancelling event from before the trigger is not meant for this run."""
    world = World(Script([["sleep:1d"]]), options=BY_EVENT)
    await world.register()
    await world.send("order/cancelled", data={"order": 1})
    await world.clock.advance(1)
    await world.send(data={"order": 1})
    await world.settle()
    assert (await world.run()).header.status is RunStatus.RUNNING


async def test_an_event_between_trigger_and_run_cancels() -> None:
    """A cancelling event that was routed before the run existed is found when its pauses are filed."""
    world = World(Script([["sleep:1d"]]), options=BY_EVENT)
    await world.register()
    await world.send(data={"order": 1})
    event = await world.send("order/cancelled", data={"order": 1})
    await world.worker.handle(items.route(event.internal_id, 0).item, 1)
    await world.settle()
    assert (await world.run()).header.status is RunStatus.CANCELLED


async def test_the_trigger_never_cancels_its_own_run() -> None:
    """A function may be cancelled by the next event of the name that started it."""
    world = await started(options={"cancel": [{"event": "order/created"}]})
    assert (await world.run()).header.status is RunStatus.RUNNING
    await world.send(number=2, data={"order": 2})
    await world.settle()
    statuses = [header.status for header in await world.headers()]
    assert sorted(statuses) == [RunStatus.CANCELLED, RunStatus.RUNNING], "in one millisecond, one cancels the other"


async def test_a_cancellation_has_its_time() -> None:
    """After its timeout the event no longer cancels."""
    world = await started(options={"cancel": [{"event": "order/cancelled", "timeout": "1h"}]})
    await world.pass_time(3_600_000)
    await world.send("order/cancelled")
    await world.settle()
    assert (await world.run()).header.status is RunStatus.RUNNING


async def test_an_ended_run_has_no_cancellations_filed() -> None:
    """Whatever ends a run takes its cancellation pauses out."""
    world = await started(Script([]), options=BY_EVENT)
    assert (await world.run()).header.status is RunStatus.COMPLETED
    shape = (await world.backend.waits.shapes("order/cancelled"))[0]
    (key,) = (await world.run()).header.cancellations
    assert await world.backend.waits.pauses("order/cancelled", shape, key.filed_under, after=None, limit=9) == []


async def test_a_run_that_does_not_start_in_time_is_cancelled() -> None:
    """``timeouts.start`` counts from when the run was to start."""
    world = World(Script([]), options={"timeouts": {"start": "10s"}})
    await world.register()
    event = await world.send(data={"order": 1})
    await world.worker.handle(items.route(event.internal_id, 0).item, 1)
    deadline = items.deadline((await world.run()).header.run_id, "start", 10_000, 0).item
    await world.clock.advance(10_000)
    await world.worker.handle(deadline, 1)
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.CANCELLED
    assert world.script.calls == []


@pytest.mark.parametrize(("limit", "status"), [("10s", RunStatus.CANCELLED), ("2m", RunStatus.COMPLETED)])
async def test_a_run_that_does_not_finish_in_time_is_cancelled(limit: str, status: RunStatus) -> None:
    """``timeouts.finish`` counts from the run's start, however late that was."""
    world = World(Script([["sleep:1m"]]), options={"timeouts": {"finish": limit}})
    await world.register()
    await world.send(ts_ms=world.clock.now_ms() + 3_600_000)
    await world.run_to_end()
    assert (await world.run()).header.status is status


async def test_many_runs_are_cancelled_by_window_and_expression() -> None:
    """Only runs of the function, created in the window, whose trigger the expression accepts."""
    world = World(Script([["sleep:1d"]]))
    await world.register()
    start_ms = world.clock.now_ms()
    for number in range(1, 7):
        await world.send(number=number, data={"order": number})
        await world.pass_time(1_000)
    work = CancelMatching("c1", SLUG, start_ms + 1_000, start_ms + 4_000, "event.data.order != 3")
    await world.worker.handle(items.cancel_matching(work, 0).item, 1)
    await world.settle()
    cancelled = [header.status is RunStatus.CANCELLED for header in await world.headers()]
    assert cancelled == [False, True, False, True, False, False]
