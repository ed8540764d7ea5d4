"""What limits do over time, on both stores, to the millisecond."""

from __future__ import annotations

import pytest

from tests.orchestrator.flow.stage import SLUG, Play, a_stage, at_once

BOTH = pytest.mark.parametrize("store", ["sqlite", "dynamodb"])
LONG_MS = 60_000


@BOTH
async def test_a_limit_of_two_calls_at_a_time(store: str) -> None:
    """Five runs of a second each, two at a time: they start at 0, 0, 1, 1 and 2 seconds."""
    async with a_stage(store, concurrency=2) as stage:
        await stage.send(5)
        await stage.until(LONG_MS)
        assert stage.starts() == [0, 0, 1_000, 1_000, 2_000]
        assert stage.most_at_once == 2


@BOTH
async def test_a_line_is_in_the_order_of_its_runs(store: str) -> None:
    """Who was to start first goes first."""
    async with a_stage(store, concurrency=1) as stage:
        for number in range(4):
            await stage.until(number)
            await stage.send()
        await stage.until(LONG_MS)
        assert stage.begun == [(1, 0), (2, 1_000), (3, 2_000), (4, 3_000)]


@BOTH
async def test_a_limit_for_each_value_of_a_key(store: str) -> None:
    """Each tenant has its own slot: the second run of a tenant waits for the first one, and for no other."""
    async with a_stage(store, concurrency=[{"limit": 1, "key": "event.data.tenant"}]) as stage:
        for tenant in ("a", "a", "b", "b", "c"):
            await stage.send(tenant=tenant)
        await stage.until(LONG_MS)
        assert sorted(stage.begun) == [(1, 0), (2, 1_000), (3, 0), (4, 1_000), (5, 0)]


@BOTH
async def test_two_limits_hold_together(store: str) -> None:
    """One of each tenant and two in all: a run needs a slot of both."""
    limits = [{"limit": 1, "key": "event.data.tenant"}, {"limit": 2}]
    async with a_stage(store, concurrency=limits) as stage:
        for tenant in ("a", "a", "b", "c", "c"):
            await stage.send(tenant=tenant)
        await stage.until(LONG_MS)
        assert stage.starts() == [0, 0, 1_000, 1_000, 2_000]
        assert all(at_once([call for call in stage.calls if call.event in own]) == 1 for own in ((1, 2), (4, 5)))


@BOTH
async def test_functions_share_a_limit_of_the_environment(store: str) -> None:
    """What is limited by scope counts for all functions with the same key."""
    limit = {"concurrency": [{"limit": 1, "scope": "env", "key": '"printer"'}]}
    async with a_stage(store, others={"shop-other": limit}, **limit) as stage:
        await stage.send(2)
        await stage.until(LONG_MS)
        assert sorted(began for _, began in stage.begun) == [0, 1_000, 2_000, 3_000]


@BOTH
async def test_a_sleeping_run_holds_no_slot(store: str) -> None:
    """While one run sleeps the next one is called; the sleeper goes on when there is room again."""
    async with a_stage(store, Play(steps=1, nap_ms=10_000), concurrency=1) as stage:
        await stage.send(2)
        await stage.until(LONG_MS)
        assert at_once(stage.calls) == 1
        assert [header.status for header in await stage.headers()] == ["completed", "completed"]
        assert stage.starts() == [0, 2_000]


@BOTH
async def test_a_retry_waits_for_a_slot_like_any_call(store: str) -> None:
    """A run whose retry is refused stands in line, and nobody looks at it until there is room."""
    play = Play(lambda data: 100 if data.get("fails") else 30_000, fails=1)
    async with a_stage(store, play, concurrency=1) as stage:
        await stage.send(fails=True)
        await stage.until(50)
        await stage.send()
        await stage.until(LONG_MS)
        assert stage.begun == [(1, 0), (2, 100), (1, 30_100)]
        assert stage.handled <= 10


@BOTH
async def test_a_limit_on_whole_runs_counts_sleeping_ones(store: str) -> None:
    """With a limit on runs the second one starts after the first one's end."""
    async with a_stage(store, Play(steps=1, nap_ms=10_000), concurrency={"fn": [{"limit": 1}]}) as stage:
        await stage.send(2)
        await stage.until(LONG_MS)
        first, second = await stage.headers()
        assert first.outcome is not None
        assert second.started_at_ms == first.outcome.ended_at_ms


@BOTH
async def test_parallel_steps_share_the_limit_of_their_function(store: str) -> None:
    """Six planned steps, two at a time: a step's call holds a slot, and a run waits for no step of its own."""
    async with a_stage(store, Play(parallel=6), concurrency=2) as stage:
        await stage.send(1)
        await stage.until(LONG_MS)
        (header,) = await stage.headers()
        assert header.outcome is not None
        assert at_once(stage.calls) == 2
        assert [began for _, began in stage.begun] == [0, 1_000, 1_000, 2_000, 2_000, 3_000, 3_000, 4_000]


@BOTH
async def test_a_throttle_spreads_starts_evenly(store: str) -> None:
    """Two every four seconds: two at once, then one every two seconds."""
    async with a_stage(store, throttle={"limit": 2, "period": "4s"}) as stage:
        await stage.send(5)
        await stage.until(LONG_MS)
        assert stage.starts() == [0, 0, 2_000, 4_000, 6_000]


@BOTH
async def test_a_throttle_with_a_burst(store: str) -> None:
    """A burst of one more: two at once, then one every two seconds."""
    async with a_stage(store, throttle={"limit": 1, "period": "2s", "burst": 1, "key": "event.data.k"}) as stage:
        await stage.send(4, k="x")
        await stage.send(1, k="y")
        await stage.until(LONG_MS)
        assert sorted(began for event, began in stage.begun if event < 5) == [0, 0, 2_000, 4_000]
        assert (5, 0) in stage.begun


@BOTH
async def test_a_throttle_holds_starts_alone(store: str) -> None:
    """A run that was let in goes on as it likes."""
    async with a_stage(store, Play(steps=3, nap_ms=100), throttle={"limit": 1, "period": "1m"}) as stage:
        await stage.send(1)
        await stage.until(LONG_MS)
        (header,) = await stage.headers()
        assert header.outcome is not None


@BOTH
async def test_priority_moves_ahead_in_the_line(store: str) -> None:
    """Of those who wait, who has a priority goes first; whoever has a negative one goes last."""
    options = {"concurrency": 1, "priority": {"run": "event.data.p"}}
    async with a_stage(store, **options) as stage:
        for priority in (0, 0, -5, 10):
            await stage.send(p=priority)
        await stage.until(LONG_MS)
        assert [event for event, _ in stage.begun] == [1, 4, 2, 3]


@BOTH
async def test_a_raised_limit_applies_to_runs_that_wait(store: str) -> None:
    """After a deploy raised the limit, those who wait go when the next slot is given back."""
    async with a_stage(store, concurrency=1) as stage:
        await stage.send(5)
        await stage.until(500)
        await stage.register({SLUG: {"concurrency": 4}})
        await stage.until(LONG_MS)
        assert stage.starts() == [0, 1_000, 1_000, 1_000, 1_000]


@BOTH
async def test_a_lowered_limit_applies_to_runs_that_wait(store: str) -> None:
    """After a deploy lowered the limit, nobody starts until fewer are called than it allows."""
    async with a_stage(store, concurrency=3) as stage:
        await stage.send(5)
        await stage.until(500)
        await stage.register({SLUG: {"concurrency": 1}})
        await stage.until(LONG_MS)
        assert stage.starts() == [0, 0, 0, 1_000, 2_000]


@BOTH
async def test_a_removed_limit_holds_nobody_back(store: str) -> None:
    """After a deploy removed the limit, all who wait go, and none is left in line."""
    async with a_stage(store, concurrency=1) as stage:
        await stage.send(4)
        await stage.until(500)
        await stage.register({SLUG: {}})
        await stage.until(LONG_MS * 2)
        assert stage.starts() == [0, 1_000, 1_000, 1_000]
        assert await stage.store.flow.gates.gates_waited_at(cursor=None, limit=10) == ([], None) or store == "dynamodb"


@BOTH
async def test_a_run_that_waits_has_not_started(store: str) -> None:
    """A waiting run is queued, and its start timeout cancels it; the next one in line is not held up by that."""
    async with a_stage(store, Play(lambda _: 5_000), concurrency=1, timeouts={"start": "2s"}) as stage:
        await stage.send(2)
        await stage.until(1_000)
        await stage.send(1)
        await stage.until(4_500)
        first, second, third = await stage.headers()
        assert [first.status, second.status, third.status] == ["running", "cancelled", "cancelled"]
        await stage.send(1)
        await stage.until(LONG_MS)
        assert [began for _, began in stage.begun] == [0, 5_000]
