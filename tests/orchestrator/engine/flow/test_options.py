from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.engine.flow.options import flow_options
from stepwell_orchestrator.model.flow import Batch, Counted, Debounce, Limit, RateLimit, Scope, Singleton
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.rate import Rate


def options(**members: Any):
    """The flow control of a function with those wire options."""
    return flow_options(Function("shop-sum", "shop", "Sum", "http://app.test", options=members))


CALLS = Limit("calls fn", Counted.CALLS, most=5)


@pytest.mark.parametrize("concurrency", [5, {"limit": 5}, [{"limit": 5}], {"step": [{"limit": 5}]}, [5, 7]])
def test_every_spelling_of_a_number_is_one_limit(concurrency: Any):
    """A number, an object, a list and the split form say the same; of two numbers the lower one counts."""
    assert options(concurrency=concurrency).limits == (CALLS,)


@pytest.mark.parametrize("concurrency", [0, {"limit": 0}, [], None, {"fn": None, "step": None}])
def test_a_limit_of_zero_is_none(concurrency: Any):
    """Nothing is limited by 0, by nothing and by an empty list."""
    assert options(concurrency=concurrency).limits == ()


def test_limits_are_in_the_one_order_of_all_runs():
    """Whole runs, then calls, the function's own first, then starts, which cannot be given back."""
    found = options(
        throttle={"limit": 1, "period": "1m"},
        concurrency={
            "step": [{"limit": 9, "scope": "account", "key": '"a"'}, {"limit": 2, "key": "event.data.k"}],
            "fn": [{"limit": 3}],
        },
    ).limits
    assert [(limit.counts, limit.scope) for limit in found] == [
        (Counted.RUNS, Scope.FUNCTION),
        (Counted.CALLS, Scope.FUNCTION),
        (Counted.CALLS, Scope.ACCOUNT),
        (Counted.STARTS, Scope.FUNCTION),
    ]


def test_a_throttle_lets_its_limit_and_its_burst_through_at_once():
    """Its capacity is the limit and the burst, its limit one by default."""
    (limit,) = options(throttle={"period": "2s", "burst": 1}).limits
    assert limit.rate == Rate(1, 2_000, 2)


@pytest.mark.parametrize(("limit", "capacity"), [(2, 1), (10, 2), (100, 11)])
def test_a_rate_limit_lets_a_tenth_more_through_at_once(limit: int, capacity: int):
    """As the protocol's product does: one, and a tenth of the limit."""
    assert options(rateLimit={"limit": limit, "period": "10s"}).rate_limit == RateLimit(Rate(limit, 10_000, capacity))


def test_idempotency_replaces_a_rate_limit():
    """What is kept by keys of runs is no rate limit."""
    assert options(rateLimit={"limit": 1, "period": "10s"}, idempotency="event.data.k").rate_limit is None


def test_the_other_options_are_read_as_they_are():
    """Debounce, batch, priority and singleton, with their times in milliseconds; null is nothing."""
    found = options(
        debounce={"period": "2s", "key": None, "timeout": "6s"},
        batchEvents={"maxSize": 3, "timeout": "3s", "key": "event.data.k", "if": "true"},
        priority={"run": "event.data.p"},
        singleton={"mode": "skip", "key": "event.data.k"},
    )
    assert found.debounce == Debounce(2_000, timeout_ms=6_000)
    assert found.batch == Batch(3, 3_000, "event.data.k", "true")
    assert (found.priority, found.singleton) == ("event.data.p", Singleton("skip", "event.data.k"))
