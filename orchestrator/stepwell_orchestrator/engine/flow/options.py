"""A registered function's options -> flow control as it is applied (protocol 2.6). Registration has checked them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepwell.wire.times import parse_duration_ms
from stepwell_orchestrator.model.flow import (
    Batch,
    Counted,
    Debounce,
    FlowOptions,
    Limit,
    RateLimit,
    Scope,
    Singleton,
)
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.rate import Rate

_RATE_BURST_SHARE: Final = 10
"""A rate limit lets a tenth of its number through at once, beyond the first."""
_NOTHING: Final = FlowOptions()


def flow_options(function: Function) -> FlowOptions:
    """The flow control of a function. A limit of 0 is none; of two limits that are the same the lower one counts."""
    options = function.options
    if not options:
        return _NOTHING
    debounce, batch = _members(options, "debounce"), _members(options, "batchEvents")
    priority, singleton = _members(options, "priority"), _members(options, "singleton")
    return FlowOptions(
        limits=_limits(options),
        rate_limit=_rate_limit(options),
        debounce=None if debounce is None else _debounce(debounce),
        batch=None if batch is None else _batch(batch),
        priority=None if priority is None else priority.get("run"),
        singleton=None if singleton is None else Singleton(singleton["mode"], singleton.get("key")),
    )


def _members(options: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = options.get(name)
    return {key: inner for key, inner in value.items() if inner is not None} if isinstance(value, Mapping) else None


def _limits(options: Mapping[str, Any]) -> tuple[Limit, ...]:
    """Every limit that makes runs wait, in the one order in which all runs take them: so no two wait for each other."""
    found: dict[str, Limit] = {}
    for limit in (*_concurrency(options.get("concurrency")), *_throttle(options)):
        known = found.get(limit.id)
        if known is None or limit.most < known.most:
            found[limit.id] = limit
    return tuple(sorted(found.values(), key=_order))


def _order(limit: Limit) -> tuple[int, int, str]:
    """Starts come last, since they cannot be given back. The scope that most others share is taken last before them."""
    counted = (Counted.RUNS, Counted.CALLS, Counted.STARTS).index(limit.counts)
    return counted, (Scope.FUNCTION, Scope.ENVIRONMENT, Scope.ACCOUNT).index(limit.scope), limit.id


def _concurrency(option: Any) -> Iterator[Limit]:
    parts = {"step": option}
    if isinstance(option, Mapping) and ("fn" in option or "step" in option):
        parts = {name: option.get(name) for name in ("fn", "step")}
    for part, value in parts.items():
        counts = Counted.RUNS if part == "fn" else Counted.CALLS
        for entry in value if isinstance(value, list) else [value]:
            limit = _concurrency_limit(counts, entry)
            if limit is not None:
                yield limit


def _concurrency_limit(counts: Counted, entry: Any) -> Limit | None:
    members: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {"limit": entry}
    most, key, scope = members.get("limit"), members.get("key"), Scope(members.get("scope") or Scope.FUNCTION)
    if not most:
        return None
    return Limit(_limit_id(counts, scope, key), counts, key, scope, most)


def _throttle(options: Mapping[str, Any]) -> Iterator[Limit]:
    members = _members(options, "throttle")
    if members is not None:
        limit, key = members.get("limit", 1), members.get("key")
        rate = Rate(limit, parse_duration_ms(members["period"]), limit + members.get("burst", 0))
        yield Limit(_limit_id(Counted.STARTS, Scope.FUNCTION, key), Counted.STARTS, key, rate=rate)


def _rate_limit(options: Mapping[str, Any]) -> RateLimit | None:
    """The rate limit. An ``idempotency`` expression replaces it (protocol 2.6), and is kept by keys of runs."""
    members = _members(options, "rateLimit")
    if members is None or isinstance(options.get("idempotency"), str):
        return None
    limit: int = members["limit"]
    rate = Rate(limit, parse_duration_ms(members["period"]), 1 + limit // _RATE_BURST_SHARE)
    return RateLimit(rate, members.get("key"))


def _debounce(members: Mapping[str, Any]) -> Debounce:
    timeout = members.get("timeout")
    timeout_ms = None if timeout is None else parse_duration_ms(timeout)
    return Debounce(parse_duration_ms(members["period"]), members.get("key"), timeout_ms)


def _batch(members: Mapping[str, Any]) -> Batch:
    timeout_ms = parse_duration_ms(members["timeout"])
    return Batch(members["maxSize"], timeout_ms, members.get("key"), members.get("if"))


def _limit_id(counts: Counted, scope: Scope, key: str | None) -> str:
    return f"{counts} {scope} {key}" if key is not None else f"{counts} {scope}"
