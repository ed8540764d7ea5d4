"""What a run costs, and how it goes on, seen from the worker's ports."""

from __future__ import annotations

import asyncio

import pytest

from stepwell.wire.call import DISCOVERY_STEP_ID
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.limits import DRIVE_LEASE_MS
from stepwell_orchestrator.model.notice import NoticeKind
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.worker.harness import Script, World

TEN = [[f"step-{n}"] for n in range(10)]


async def started(script: Script, **options: object) -> World:
    world = World(script, **options)  # type: ignore[arg-type]
    await world.register()
    await world.send()
    return world


async def test_ten_sequential_steps_cost_eleven_calls_and_one_item() -> None:
    """Without checkpointing a sequential run is driven inline by its one queue item."""
    world = await started(Script(TEN))
    await world.run_to_end()
    run = await world.run()
    assert run.header.status is RunStatus.COMPLETED
    assert run.header.outcome is not None
    assert run.header.outcome.output == {"done": True}
    assert len(world.script.calls) == 11
    assert [item for item in world.handled if item.startswith(run.header.run_id)] == [f"{run.header.run_id}:start"]
    assert run.header.term == 1
    assert set(world.script.bodies.values()) == {1}


@pytest.mark.parametrize("width", [2, 3, 10, 50])
async def test_n_parallel_steps_then_one_more_cost_n_plus_three(width: int) -> None:
    """One discovery plans them, each gets a call, one discovery joins them and runs the next, one returns."""
    world = await started(Script([[f"p{n}" for n in range(width)], ["after"]]))
    await world.run_to_end()
    assert len(world.script.calls) == width + 3
    assert [target for target, _ in world.script.calls].count(DISCOVERY_STEP_ID) == 3
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert set(world.script.bodies.values()) == {1}


async def test_racing_steps_get_a_discovery_while_others_are_pending() -> None:
    """A racing step lets the function look at once, even though a sleep beside it goes on for a day."""
    world = await started(Script([["quick", "sleep:1d"]], race=True))
    await world.settle()
    assert [target for target, _ in world.script.calls] == [DISCOVERY_STEP_ID, hash_step_id("quick"), DISCOVERY_STEP_ID]


async def test_joined_steps_wait_for_the_last_of_them() -> None:
    """Without a race the same group costs no discovery before its sleep is over."""
    world = await started(Script([["quick", "sleep:1d"]]))
    await world.settle()
    assert [target for target, _ in world.script.calls] == [DISCOVERY_STEP_ID, hash_step_id("quick")]
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert len(world.script.calls) == 3


async def test_racing_discoveries_are_coalesced() -> None:
    """However many racing steps finish at once, at most one discovery runs and one more waits."""
    world = await started(Script([[f"p{n}" for n in range(20)]], race=True))
    await world.run_to_end()
    discoveries = [target for target, _ in world.script.calls].count(DISCOVERY_STEP_ID)
    assert discoveries < 20
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_a_step_retries_in_place_and_keeps_what_was_done() -> None:
    """Attempts count from 0, earlier steps do not run again, and the step after starts afresh."""
    world = await started(Script([["a"], ["flaky"], ["c"]], fails={"flaky": 2}))
    await world.run_to_end()
    assert world.script.bodies == {"a": 1, "flaky": 3, "c": 1}
    assert [attempt for _, attempt in world.script.calls] == [0, 0, 1, 2, 0, 0]
    entry = (await world.run()).entries[hash_step_id("flaky")]
    assert (entry.status, entry.attempt) == (StepStatus.COMPLETED, 2)


async def test_a_planned_step_retries_by_itself() -> None:
    """Its attempts are its own; the group's discovery waits for it."""
    world = await started(Script([["a", "flaky"], ["c"]], fails={"flaky": 2}))
    await world.run_to_end()
    assert world.script.bodies == {"a": 1, "flaky": 3, "c": 1}
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert [target for target, _ in world.script.calls].count(DISCOVERY_STEP_ID) == 3


@pytest.mark.parametrize("stages", [[["doomed"]], [["doomed", "other"]]])
async def test_an_exhausted_step_is_handed_to_the_function(stages: list[list[str]]) -> None:
    """After the last attempt the error is memoised and the function is asked what to do with it."""
    world = await started(Script(stages, fails={"doomed": 99}), retries=1)
    await world.run_to_end()
    run = await world.run()
    entry = run.entries[hash_step_id("doomed")]
    assert entry.status is StepStatus.FAILED
    assert entry.memo == {"error": {"name": "ValueError", "message": "doomed failed"}}
    assert world.script.bodies["doomed"] == 2
    assert run.header.status is RunStatus.COMPLETED


async def test_a_function_that_raises_is_retried_then_fails() -> None:
    """The run fails with the error body as output, and tells so once."""
    world = await started(Script([["a"]], function_fails=9), retries=2)
    await world.run_to_end()
    run = await world.run()
    assert run.header.status is RunStatus.FAILED
    assert run.header.outcome is not None
    assert run.header.outcome.output == {"name": "RuntimeError", "message": "not yet"}
    assert len(world.script.calls) == 3
    assert len(await world.events_named("inngest/function.failed")) == 1
    assert len(await world.events_named("inngest/function.finished")) == 1


async def test_a_sleep_never_ends_early() -> None:
    """A timer that is handed out before its time is put back, and the run goes on exactly then."""
    world = await started(Script([["sleep:30s"], ["after"]]))
    await world.settle()
    run = await world.run()
    due_ms = world.clock.now_ms() + 30_000
    early = items.timer(run.header.run_id, hash_step_id("sleep:30s"), 0).item
    assert await world.worker.handle(early, 1) == due_ms
    await world.clock.advance(29_999)
    await world.settle()
    assert world.script.bodies == {}
    await world.clock.advance(1)
    await world.settle()
    assert world.script.bodies == {"after": 1}


async def test_every_delivery_twice_at_once_changes_nothing() -> None:
    """Duplicate deliveries run no body twice and cost no extra step."""
    script = Script([["a"], ["p", "q", "sleep:1m"], ["b"]], fails={"q": 1})
    world = await started(script)
    await world.run_to_end(copies=2)
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert script.bodies == {"a": 1, "p": 1, "q": 2, "b": 1}


async def test_a_cancelled_run_starts_no_later_step() -> None:
    """A cancellation during a call makes its reply count for nothing, and no call follows."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold(target: str) -> None:
        reached.set()
        await go_on.wait()

    world = await started(Script([["a"], ["b"]], before_reply=hold))
    driving = asyncio.create_task(world.settle())
    await reached.wait()
    (header,) = await world.headers()
    await world.worker.handle(items.cancel(header.run_id, world.clock.now_ms()).item, 1)
    go_on.set()
    await driving
    await world.run_to_end()
    run = await world.run()
    assert run.header.status is RunStatus.CANCELLED
    assert run.entries == {}
    assert len(world.script.calls) == 1
    assert len(await world.events_named("inngest/function.cancelled")) == 1
    assert await world.events_named("inngest/function.failed") == []
    assert run.header.lease_until_ms is None


async def test_cancelling_an_ended_run_changes_nothing() -> None:
    """A completed run stays completed and emits nothing more."""
    world = await started(Script([["a"]]))
    await world.run_to_end()
    run = await world.run()
    await world.worker.handle(items.cancel(run.header.run_id, world.clock.now_ms()).item, 1)
    await world.run_to_end()
    assert (await world.run()).header == run.header
    assert await world.events_named("inngest/function.cancelled") == []
    assert len(await world.events_named("inngest/function.finished")) == 1


async def test_one_run_for_one_event_id() -> None:
    """A second event with the sender's same id starts nothing; after a day it does."""
    world = await started(Script([["a"]]))
    await world.run_to_end()
    for number in (2, 3):
        await world.send(number=number, id="order-7")
    await world.run_to_end()
    assert len(await world.headers()) == 2
    await world.clock.advance(24 * 3_600_000)
    await world.send(number=4, id="order-7")
    await world.run_to_end()
    assert len(await world.headers()) == 3


async def test_an_event_of_the_future_starts_its_run_then() -> None:
    """The run exists at once, queued, and makes no call before the event's time."""
    world = World(Script([["a"]]))
    await world.register()
    await world.send(ts_ms=world.clock.now_ms() + 60_000)
    await world.settle()
    assert (await world.run()).header.status is RunStatus.QUEUED
    assert world.script.calls == []
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.COMPLETED


async def test_a_dead_driver_is_replaced_when_its_lease_runs_out() -> None:
    """A worker that died in a call leaves nothing behind but time: the redelivered item finishes the run."""
    stuck = asyncio.Event()

    async def hang(target: str) -> None:
        stuck.set()
        await asyncio.Event().wait()

    world = await started(Script([["a"], ["b"]], before_reply=hang))
    dying = asyncio.create_task(world.settle())
    await stuck.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    world.script.before_reply = None
    await world.settle()
    assert len(world.script.calls) == 1
    await world.clock.advance(DRIVE_LEASE_MS)
    await world.settle()
    run = await world.run()
    assert run.header.status is RunStatus.COMPLETED
    assert run.header.term == 2
    assert world.script.bodies == {"a": 1, "b": 1}


async def test_an_unknown_function_fails_with_the_way_out() -> None:
    """A run whose function is gone retries, whatever the function's own retries were, then fails saying so."""
    world = await started(Script([["a"]]), retries=0)
    now_ms = world.clock.now_ms()
    await world.backend.queue.receive(10, now_ms, now_ms + 1)
    await world.clock.advance(1)
    first = (await world.backend.queue.receive(10, world.clock.now_ms(), world.clock.now_ms() + 1))[0]
    await world.worker.handle(first.item, 1)
    await world.backend.registry.remove_app("http://app.test/api")
    await world.run_to_end()
    outcome = (await world.run()).header.outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error["name"] == "function_not_found"
    assert [notice.kind for notice in world.notices].count(NoticeKind.FUNCTION_RETRYING) == 4
    assert "deploy it" in outcome.error["message"]


async def test_what_is_told_matches_what_happened() -> None:
    """The observer hears each thing once, in order."""
    world = await started(Script([["a"], ["flaky"]], fails={"flaky": 1}))
    await world.run_to_end()
    assert [notice.kind for notice in world.notices if notice.kind is not NoticeKind.CALLED] == [
        NoticeKind.RUN_CREATED,
        NoticeKind.RUN_STARTED,
        NoticeKind.STEP_COMPLETED,
        NoticeKind.STEP_RETRYING,
        NoticeKind.STEP_COMPLETED,
        NoticeKind.RUN_COMPLETED,
    ]
