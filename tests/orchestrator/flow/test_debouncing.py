"""What may come between those who offer events to a debounce, its timer, and those who die at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stepwell_orchestrator.model.queue_item import QueueItem, Route
from tests.orchestrator.flow.mortal import die, handle, route, runs, timers
from tests.orchestrator.flow.stage import SLUG, Play, Stage, a_stage

BOTH = pytest.mark.parametrize("store", ["sqlite", "dynamodb"])
TEN_S = {"period": "10s"}
QUICK = Play(call_ms=lambda _data: 0)


@pytest.fixture(params=["sqlite", "dynamodb"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A stage on which nobody works: items are handled by hand."""
    async with a_stage(request.param, QUICK, debounce=TEN_S) as opened:
        await opened.stop()
        yield opened


@BOTH
async def test_one_run_with_the_last_event_once_it_is_quiet(store: str) -> None:
    """Events at 0, 4 and 9 seconds make one run at 19 seconds, with the last of them."""
    async with a_stage(store, QUICK, debounce=TEN_S) as stage:
        await stage.send_at(0, 4_000, 9_000)
        await stage.until(60_000)
        assert stage.runs() == [(19_000, (3,))]


@BOTH
async def test_the_timeout_bounds_how_long_events_may_go_on(store: str) -> None:
    """An event a second makes a run every five seconds, with the last event by then."""
    async with a_stage(store, QUICK, debounce={"period": "2s", "timeout": "5s"}) as stage:
        await stage.send_at(*range(0, 10_000, 1_000))
        await stage.until(60_000)
        assert stage.runs() == [(5_000, (5,)), (10_000, (10,))]


@BOTH
async def test_each_value_of_a_key_is_debounced_by_itself(store: str) -> None:
    """Two users have a run each, each a period after their own last event."""
    async with a_stage(store, QUICK, debounce={"period": "10s", "key": "event.data.user"}) as stage:
        await stage.send_at(0, user="ada")
        await stage.send_at(3_000, user="bob")
        await stage.send_at(5_000, user="ada")
        await stage.until(60_000)
        assert stage.runs() == [(13_000, (2,)), (15_000, (3,))]


@BOTH
async def test_an_event_after_the_run_begins_the_next_debounce(store: str) -> None:
    """Every burst has its run."""
    async with a_stage(store, QUICK, debounce=TEN_S) as stage:
        await stage.send_at(0, 10_001, 30_000)
        await stage.until(60_000)
        assert stage.runs() == [(10_000, (1,)), (20_001, (2,)), (40_000, (3,))]


@BOTH
async def test_a_debounce_and_its_limits(store: str) -> None:
    """The runs of debounces wait for a slot as others do, with the key of the event that is run."""
    keyed = {"debounce": {"period": "1s", "key": "event.data.user"}, "concurrency": 1}
    async with a_stage(store, **keyed) as stage:
        await stage.send_at(0, user="ada")
        await stage.send_at(100, user="bob")
        await stage.until(60_000)
        assert stage.starts() == [1_000, 2_000]


async def test_an_event_that_is_routed_twice_is_debounced_once(stage: Stage) -> None:
    """Two deliveries at once leave one timer and one run."""
    (event,) = await stage.send()
    await asyncio.gather(route(stage, event), route(stage, event))
    (timer,) = await timers(stage)
    await stage.until(10_000)
    await handle(stage, timer)
    assert await runs(stage) == [(1,)]


async def test_a_router_that_died_before_the_timer_sets_it_when_it_comes_again(stage: Stage) -> None:
    """The first event's redelivery sets the timer, also when a later event is kept by then."""
    first, second = await stage.send(2)
    await die(stage, QueueItem("route", Route(first.internal_id), 0), "queue", "send")
    await route(stage, second)
    assert await timers(stage) == []
    await route(stage, first)
    (timer,) = await timers(stage)
    await stage.until(10_000)
    await handle(stage, timer)
    assert await runs(stage) == [(2,)]


async def test_the_timer_waits_on_when_an_event_came_since(stage: Stage) -> None:
    """It goes on to a period after the last event."""
    (first,) = await stage.send()
    await route(stage, first)
    await stage.until(4_000)
    (second,) = await stage.send()
    await route(stage, second)
    (timer,) = await timers(stage)
    await stage.until(10_000)
    assert await handle(stage, timer) == stage.clock.now_ms() + 4_000
    assert await runs(stage) == []


async def taken(stage: Stage, method: str, port: str = "journal") -> QueueItem:
    """A debounce that was due, and whose timer died at a call of that method."""
    (event,) = await stage.send()
    await route(stage, event)
    (timer,) = await timers(stage)
    await stage.until(10_000)
    await die(stage, timer, port, method)
    return timer


@pytest.mark.parametrize(("port", "method"), [("journal", "create_run"), ("queue", "send"), ("debounces", "forget")])
async def test_a_timer_that_died_before_the_run_makes_it_when_it_comes_again(
    stage: Stage, port: str, method: str
) -> None:
    """Wherever it died, its redelivery leaves one run, which is queued."""
    timer = await taken(stage, method, port)
    await handle(stage, timer)
    assert await runs(stage) == [(1,)]
    (header,) = await stage.headers()
    assert len(await stage.local.queue.items_of_run(header.run_id)) == 1


async def test_an_event_after_a_torn_firing_makes_its_run_first(stage: Stage) -> None:
    """What was taken is run by whoever comes next, and the new event begins a debounce of its own."""
    timer = await taken(stage, "create_run")
    (second,) = await stage.send()
    await route(stage, second)
    assert await runs(stage) == [(1,)]
    await handle(stage, timer)
    assert await runs(stage) == [(1,)]
    later = (await timers(stage))[-1]
    await stage.until(20_000)
    await handle(stage, later)
    assert await runs(stage) == [(1,), (2,)]


async def test_a_timer_that_comes_twice_makes_one_run(stage: Stage) -> None:
    """At once, and once more after the run exists."""
    (event,) = await stage.send()
    await route(stage, event)
    (timer,) = await timers(stage)
    await stage.until(10_000)
    await asyncio.gather(handle(stage, timer), handle(stage, timer))
    await handle(stage, timer)
    assert await runs(stage) == [(1,)]


async def test_a_redelivery_after_the_run_begins_no_second_debounce(stage: Stage) -> None:
    """Neither the event that ran nor one before it is run again."""
    first, second = await stage.send(2)
    await route(stage, first)
    await route(stage, second)
    (timer,) = await timers(stage)
    await stage.until(10_000)
    await handle(stage, timer)
    for event in (first, second):
        await route(stage, event)
    await stage.until(30_000)
    for each in await timers(stage):
        await handle(stage, each)
    assert await runs(stage) == [(2,)]


async def test_the_debounce_of_a_function_that_is_gone_ends(stage: Stage) -> None:
    """Nothing runs, and nothing is left to be made up for."""
    (event,) = await stage.send()
    await route(stage, event)
    (timer,) = await timers(stage)
    await stage.register({"shop-other": {}})
    await stage.until(10_000)
    assert await handle(stage, timer) is None
    assert await runs(stage) == []


async def test_an_option_that_a_deploy_removes_lets_its_last_event_run(stage: Stage) -> None:
    """What waits already runs when it is due; what comes later runs at once."""
    (event,) = await stage.send()
    await route(stage, event)
    await stage.register({SLUG: {}})
    (second,) = await stage.send()
    await route(stage, second)
    assert await runs(stage) == [(2,)]
    (timer,) = await timers(stage)
    await stage.until(10_000)
    await handle(stage, timer)
    assert sorted(await runs(stage)) == [(1,), (2,)]


@BOTH
async def test_an_id_that_ran_within_a_day_runs_no_second_time(store: str) -> None:
    """Idempotency holds for the event that a debounce runs."""
    async with a_stage(store, QUICK, debounce=TEN_S, idempotency="event.data.order") as stage:
        await stage.send_at(0, 1_000, order=7)
        await stage.send_at(20_000, order=7)
        await stage.send_at(40_000, order=8)
        await stage.until(60_000)
        assert stage.runs() == [(11_000, (2,)), (50_000, (4,))]


@BOTH
async def test_a_start_timeout_counts_from_when_the_debounce_was_due(store: str) -> None:
    """A run that waits for a slot for too long after its debounce is cancelled; the debounce itself does not count."""
    options = {"debounce": {"period": "1m", "key": "event.data.user"}, "timeouts": {"start": "500ms"}}
    async with a_stage(store, concurrency=1, **options) as stage:
        await stage.send(user="ada")
        await stage.send(user="bob")
        await stage.until(180_000)
        assert [header.status for header in await stage.headers()].count("cancelled") == 1
        assert stage.starts() == [60_000]
