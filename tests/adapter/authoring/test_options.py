from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

import stepwell
from stepwell.authoring.options import FunctionOptions
from stepwell.errors import DefinitionError

KEY = "event.data.k"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"cancel_on": ()}, {}),
        ({"cancel_on": stepwell.CancelOn("a", match=None)}, {"cancel": [{"event": "a"}]}),
        ({"cancel_on": stepwell.CancelOn("a", if_="true")}, {"cancel": [{"event": "a", "if": "true"}]}),
        (
            {"cancel_on": [stepwell.CancelOn("a", match="data.id", timeout="1h")]},
            {"cancel": [{"event": "a", "if": "event.data.id == async.data.id", "timeout": "1h"}]},
        ),
        (
            {"cancel_on": [stepwell.CancelOn("a", if_="event.data.a == async.data['b']")]},
            {"cancel": [{"event": "a", "if": "event.data.a == async.data['b']"}]},
        ),
        ({"concurrency": 5}, {"concurrency": [{"limit": 5}]}),
        (
            {"concurrency": [stepwell.Concurrency(5), stepwell.Concurrency(1, key="'x'", scope="env")]},
            {"concurrency": [{"limit": 5}, {"limit": 1, "key": "'x'", "scope": "env"}]},
        ),
        ({"throttle": stepwell.Throttle(1, "2s", burst=1)}, {"throttle": {"limit": 1, "period": "2s", "burst": 1}}),
        (
            {"throttle": stepwell.Throttle(1, dt.timedelta(minutes=90), key=KEY)},
            {"throttle": {"limit": 1, "period": "1h30m", "key": KEY}},
        ),
        ({"rate_limit": stepwell.RateLimit(1, "1m", key=KEY)}, {"rateLimit": {"limit": 1, "period": "1m", "key": KEY}}),
        ({"debounce": stepwell.Debounce("1s", key=KEY)}, {"debounce": {"period": "1s", "key": KEY}}),
        ({"debounce": stepwell.Debounce("7d", timeout="9d")}, {"debounce": {"period": "7d", "timeout": "9d"}}),
        ({"batch": stepwell.Batch(3, "2s")}, {"batchEvents": {"maxSize": 3, "timeout": "2s"}}),
        (
            {"batch": stepwell.Batch(100, "1d", key=KEY, if_="event.data.x")},
            {"batchEvents": {"maxSize": 100, "timeout": "86400s", "key": KEY, "if": "event.data.x"}},
        ),
        ({"batch": stepwell.Batch(2, "1.5s")}, {"batchEvents": {"maxSize": 2, "timeout": "1500ms"}}),
        ({"priority": stepwell.Priority("event.data.p")}, {"priority": {"run": "event.data.p"}}),
        ({"singleton": stepwell.Singleton("skip", key=KEY)}, {"singleton": {"key": KEY, "mode": "skip"}}),
        ({"idempotency": KEY}, {"idempotency": KEY}),
        ({"timeouts": stepwell.Timeouts(start="1m", finish="5m")}, {"timeouts": {"start": "1m", "finish": "5m"}}),
    ],
)
def test_options_become_wire_members(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each option is encoded as the protocol spells it, and nothing is sent for what was left out."""
    assert FunctionOptions(**options).encode("pay") == expected


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"cancel_on": ["a"]}, "cancel_on: must be a stepwell.CancelOn(...), got 'a'"),
        ({"cancel_on": [stepwell.CancelOn("a")] * 6}, "cancel_on: has 6 entries; the limit is 5"),
        ({"cancel_on": stepwell.CancelOn("a/*")}, "cancel_on.event: "),
        ({"cancel_on": stepwell.CancelOn("a", match="data.x", if_="true")}, "has both match and if_"),
        ({"cancel_on": stepwell.CancelOn("a", match="data.x == 1")}, "cancel_on.match: must be a path"),
        ({"cancel_on": stepwell.CancelOn("a", if_="event.x ==== (")}, "cancel_on.if_: "),
        ({"cancel_on": stepwell.CancelOn("a", match="id")}, 'write match="data.id"'),
        (
            {"cancel_on": stepwell.CancelOn("a")},
            'any "a" would cancel every run of the function, whatever it is about; narrow it: match="data.order_id"',
        ),
        ({"cancel_on": stepwell.CancelOn("a", timeout="1h")}, 'any "a" would cancel every run'),
        (
            {"cancel_on": stepwell.CancelOn("a", match=None, timeout="367d")},
            "cancel_on.timeout: must be from 1s to 366d",
        ),
        ({"concurrency": 0}, "concurrency.limit: must be a whole number of at least 1, got 0"),
        ({"concurrency": True}, "concurrency.limit: "),
        ({"concurrency": "5"}, "concurrency: must be a stepwell.Concurrency(...)"),
        ({"concurrency": [stepwell.Concurrency(1)] * 3}, "concurrency: has 3 entries; the limit is 2"),
        ({"concurrency": stepwell.Concurrency(1, scope="env")}, 'concurrency: scope "env" needs a key'),
        (
            {"concurrency": stepwell.Concurrency(1, scope="app")},
            'concurrency.scope: must be "fn" or "env" or "account"',
        ),
        ({"throttle": 5}, "throttle: must be a stepwell.Throttle(...), got 5"),
        ({"throttle": stepwell.Throttle(0, "1s")}, "throttle.limit: "),
        ({"throttle": stepwell.Throttle(1, "10ms")}, "throttle.period: must be from 1s to 7d, got 10ms"),
        ({"throttle": stepwell.Throttle(1, 5)}, "throttle.period: must be a duration"),
        ({"throttle": stepwell.Throttle(1, "1s", burst=-1)}, "throttle.burst: "),
        ({"throttle": stepwell.Throttle(1, "1s", key="user.id")}, 'throttle.key: uses "user"'),
        ({"rate_limit": stepwell.RateLimit(1, "25h")}, "rate_limit.period: must be from 1s to 1d, got 1d1h"),
        ({"debounce": stepwell.Debounce("8d")}, "debounce.period: "),
        ({"batch": stepwell.Batch(1, "1s")}, "batch.max_size: must be a whole number from 2 to 100"),
        ({"batch": stepwell.Batch(101, "1s")}, "batch.max_size: must be a whole number from 2 to 100"),
        ({"batch": stepwell.Batch(2, "0s")}, "batch.timeout: "),
        ({"priority": stepwell.Priority("")}, "priority.run: must be an expression"),
        ({"singleton": stepwell.Singleton("stop")}, 'singleton.mode: must be "skip" or "cancel"'),
        ({"idempotency": 7}, "idempotency: must be an expression"),
        ({"idempotency": KEY, "rate_limit": stepwell.RateLimit(1, "1m")}, "idempotency: cannot be combined"),
        ({"timeouts": stepwell.Timeouts()}, "timeouts: sets neither start nor finish"),
        ({"timeouts": stepwell.Timeouts(start="-1m")}, "timeouts.start: "),
    ],
)
def test_a_wrong_option_names_function_field_and_problem(options: dict[str, Any], problem: str) -> None:
    """An option no server would take is refused when the function is defined."""
    with pytest.raises(DefinitionError) as refused:
        FunctionOptions(**options).encode("pay")
    assert str(refused.value).startswith('function "pay", ')
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("cancel_on", [stepwell.CancelOn("a")]),
        ("debounce", stepwell.Debounce("1s")),
        ("singleton", stepwell.Singleton("skip")),
        ("priority", stepwell.Priority("1")),
        ("rate_limit", stepwell.RateLimit(1, "1m")),
        ("idempotency", KEY),
    ],
)
def test_a_batch_stands_alone(member: str, value: Any) -> None:
    """What servers do not apply to batches is refused beside one rather than ignored."""
    with pytest.raises(DefinitionError, match=f"batch: cannot be combined with {member}"):
        FunctionOptions(batch=stepwell.Batch(2, "1s"), **{member: value}).encode("pay")
