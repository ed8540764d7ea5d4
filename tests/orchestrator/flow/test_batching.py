"""What may come between those who add events to a batch, its timer, and those who die at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stepwell_orchestrator.model.queue_item import QueueItem, Route
from tests.orchestrator.flow.mortal import die, handle, route, runs, timers
from tests.orchestrator.flow.stage import SLUG, Play, Stage, a_stage

BOTH = pytest.mark.parametrize("store", ["sqlite", "dynamodb"])
THREE = {"maxSize": 3, "timeout": "10s"}
QUICK = Play(call_ms=lambda _data: 0)


@pytest.fixture(params=["sqlite", "dynamodb"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A stage on which nobody works: items are handled by hand."""
    async with a_stage(request.param, QUICK, batchEvents=THREE) as opened:
        await opened.stop()
        yield opened


@BOTH
async def test_a_full_batch_runs_at_once_and_the_rest_after_the_timeout(store: str) -> None:
    """Four events with a size of three: three of them run with the third one, the last ten seconds after it came."""
    async with a_stage(store, QUICK, batchEvents=THREE) as stage:
        await stage.send_at(0, 1_000, 2_000, 3_000)
        await stage.until(60_000)
        assert stage.runs() == [(2_000, (1, 2, 3)), (13_000, (4,))]


@BOTH
async def test_the_timeout_counts_from_the_first_event(store: str) -> None:
    """What came within ten seconds of the first event runs then; what comes after that is another batch."""
    async with a_stage(store, QUICK, batchEvents=THREE) as stage:
        await stage.send_at(0, 9_999, 10_001)
        await stage.until(60_000)
        assert stage.runs() == [(10_000, (1, 2)), (20_001, (3,))]


@BOTH
async def test_each_value_of_a_key_has_batches_of_its_own(store: str) -> None:
    """Events of two users fill two batches."""
    async with a_stage(store, QUICK, batchEvents={**THREE, "maxSize": 2, "key": "event.data.user"}) as stage:
        for at_ms, user in enumerate(("ada", "bob", "ada")):
            await stage.send_at(at_ms, user=user)
        await stage.until(60_000)
        assert stage.runs() == [(2, (1, 3)), (10_001, (2,))]


@BOTH
async def test_an_event_that_the_condition_does_not_accept_runs_alone(store: str) -> None:
    """At once, and so does one for which the condition cannot be evaluated; the batch goes on without them."""
    async with a_stage(store, QUICK, batchEvents={**THREE, "if": "event.data.small"}) as stage:
        for at_ms, small in enumerate((True, False, "text", True, True)):
            await stage.send_at(at_ms, small=small)
        await stage.until(60_000)
        assert sorted(stage.runs()) == [(1, (2,)), (2, (3,)), (4, (1, 4, 5))]


@BOTH
async def test_a_batch_is_one_run_and_takes_one_slot(store: str) -> None:
    """Two batches of two with one call at a time: the second waits for the first."""
    options = {"batchEvents": {"maxSize": 2, "timeout": "10s"}, "concurrency": 1}
    async with a_stage(store, **options) as stage:
        await stage.send(4)
        await stage.until(60_000)
        assert stage.starts() == [0, 1_000]
        assert {len(call.events) for call in stage.calls} == {2}


@BOTH
async def test_a_throttle_counts_a_batch_once(store: str) -> None:
    """One start a minute is one batch a minute."""
    options = {"batchEvents": {"maxSize": 2, "timeout": "10s"}, "throttle": {"limit": 1, "period": "1m"}}
    async with a_stage(store, QUICK, **options) as stage:
        await stage.send(4)
        await stage.until(120_000)
        assert stage.starts() == [0, 60_000]


async def test_every_event_of_a_batch_leads_to_its_run(stage: Stage) -> None:
    """The run of a batch is found by each of its events."""
    events = await stage.send_at(0, 1, 2)
    for event in events:
        await route(stage, event)
    (header,) = await stage.headers()
    for event in events:
        assert [run.run_id for run in await stage.store.journal.runs_of_event(event.internal_id)] == [header.run_id]
    assert header.event_ids == tuple(event.internal_id for event in events)


async def test_events_are_in_the_order_of_their_receipt(stage: Stage) -> None:
    """Whichever of them was routed first."""
    events = await stage.send_at(0, 1, 2)
    for event in reversed(events):
        await route(stage, event)
    assert await runs(stage) == [(1, 2, 3)]


async def test_an_event_that_is_routed_twice_is_in_its_batch_once(stage: Stage) -> None:
    """Two deliveries at once count once, and leave one timer."""
    first, second = await stage.send_at(0, 1)
    await asyncio.gather(route(stage, first), route(stage, first))
    await route(stage, second)
    (timer,) = await timers(stage)
    await stage.until(10_100)
    await handle(stage, timer)
    assert await runs(stage) == [(1, 2)]


async def test_a_router_that_died_before_the_timer_sets_it_when_it_comes_again(stage: Stage) -> None:
    """The first event's redelivery sets the timer."""
    first, second = await stage.send_at(0, 1)
    await die(stage, QueueItem("route", Route(first.internal_id), 0), "queue", "send")
    await route(stage, second)
    assert await timers(stage) == []
    await route(stage, first)
    (timer,) = await timers(stage)
    await stage.until(10_100)
    await handle(stage, timer)
    assert await runs(stage) == [(1, 2)]


async def test_an_id_that_was_there_within_a_day_is_in_no_batch(stage: Stage) -> None:
    """A second event with the sender's id of one before is left out, and does not count; it leads to no run."""
    events = [await stage.send_as(own_id) for own_id in ("a", "b", "a", "c", "c")]
    for event in events:
        await route(stage, event)
    await stage.until(10_100)
    for timer in await timers(stage):
        await handle(stage, timer)
    assert await runs(stage) == [(1, 2, 4)]
    assert await stage.store.journal.runs_of_event(events[2].internal_id) == []


async def test_a_router_that_died_with_an_id_adds_its_event_when_it_comes_again(stage: Stage) -> None:
    """The id is the event's, so that its redelivery is no repeat."""
    event = await stage.send_as("a")
    await die(stage, QueueItem("route", Route(event.internal_id), 0), "batches", "reserve", after=True)
    await route(stage, event)
    (timer,) = await timers(stage)
    await stage.until(10_100)
    await handle(stage, timer)
    assert await runs(stage) == [(1,)]


TORN = pytest.mark.parametrize(
    ("port", "method"),
    [("batches", "close"), ("journal", "create_run"), ("queue", "send"), ("batches", "forget")],
)


async def torn(stage: Stage, port: str, method: str) -> QueueItem:
    """A batch that was closed by an event whose router died at a call of that method; the event's item."""
    events = await stage.send_at(0, 1, 2)
    for event in events[:-1]:
        await route(stage, event)
    item = QueueItem("route", Route(events[-1].internal_id), 0)
    await die(stage, item, port, method)
    return item


@TORN
async def test_a_router_that_died_before_the_run_makes_it_when_it_comes_again(
    stage: Stage, port: str, method: str
) -> None:
    """Wherever it died, its redelivery leaves one run, which is queued."""
    await handle(stage, await torn(stage, port, method))
    assert await runs(stage) == [(1, 2, 3)]
    (header,) = await stage.headers()
    assert len(await stage.local.queue.items_of_run(header.run_id)) == 1


@TORN
async def test_the_timer_makes_the_run_of_a_batch_that_was_closed_and_left(
    stage: Stage, port: str, method: str
) -> None:
    """Its time comes, and it finds a closed batch; the redelivery after that does nothing more."""
    item = await torn(stage, port, method)
    (timer,) = await timers(stage)
    await stage.until(10_100)
    await handle(stage, timer)
    assert await runs(stage) == [(1, 2, 3)]
    await handle(stage, item)
    for each in await timers(stage):
        await stage.until(30_000)
        await handle(stage, each)
    assert await runs(stage) == [(1, 2, 3)]


async def test_a_timer_and_a_closing_event_at_once_make_one_run(stage: Stage) -> None:
    """Every event is in one run, whoever was first."""
    events = await stage.send_at(0, 1, 2)
    for event in events[:-1]:
        await route(stage, event)
    (timer,) = await timers(stage)
    await stage.until(10_100)
    await asyncio.gather(handle(stage, timer), route(stage, events[-1]))
    for each in await timers(stage):
        await stage.until(30_000)
        await handle(stage, each)
    assert sorted(number for run in await runs(stage) for number in run) == [1, 2, 3]


async def test_a_timer_that_is_early_waits(stage: Stage) -> None:
    """By a clock that is behind, it comes again at its time."""
    (event,) = await stage.send()
    await route(stage, event)
    (timer,) = await timers(stage)
    await stage.until(9_999)
    assert await handle(stage, timer) == timer.due_at_ms
    assert await runs(stage) == []


async def test_a_redelivery_after_the_run_is_in_no_second_run(stage: Stage) -> None:
    """It is added once more, and left out of the run; the other events of that batch run without it."""
    events = await stage.send_at(0, 1, 2, 3)
    for event in events[:3]:
        await route(stage, event)
    await route(stage, events[0])
    await route(stage, events[3])
    await stage.until(30_000)
    for timer in await timers(stage):
        await handle(stage, timer)
    assert await runs(stage) == [(1, 2, 3), (4,)]


async def test_a_batch_of_nothing_but_redeliveries_makes_no_run(stage: Stage) -> None:
    """Nothing is left of it, and nothing waits."""
    events = await stage.send_at(0, 1, 2)
    for event in (*events, *events):
        await route(stage, event)
    assert await runs(stage) == [(1, 2, 3)]


async def test_the_batch_of_a_function_that_is_gone_ends(stage: Stage) -> None:
    """Nothing runs."""
    (event,) = await stage.send()
    await route(stage, event)
    (timer,) = await timers(stage)
    await stage.register({"shop-other": {}})
    await stage.until(10_100)
    assert await handle(stage, timer) is None
    assert await runs(stage) == []


async def test_an_option_that_a_deploy_removes_lets_its_batch_run(stage: Stage) -> None:
    """What waits already runs when its time comes; what comes later runs at once."""
    (event,) = await stage.send()
    await route(stage, event)
    await stage.register({SLUG: {}})
    (second,) = await stage.send()
    await route(stage, second)
    (timer,) = await timers(stage)
    await stage.until(10_100)
    await handle(stage, timer)
    assert sorted(await runs(stage)) == [(1,), (2,)]
