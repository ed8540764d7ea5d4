"""What the options of a registered function must look like (protocol 2.7): a rule an option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from stepwell.wire.registration import BATCH_EVENTS_MAX, CANCELLATIONS_MAX
from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.accepting.rule_check import Check
from stepwell_orchestrator.engine.runs.route import TRIGGER_VARIABLES
from stepwell_orchestrator.engine.waits.matching import WAIT_VARIABLES
from stepwell_orchestrator.limits import BATCH_TIMEOUT_MAX_MS

_CONCURRENCY_MAX: Final = 2
_WEEK_MS: Final = 7 * DAY_MS
_NOT_WITH_BATCH = ("cancel", "debounce", "singleton", "priority", "rateLimit", "idempotency")


def check_options(check: Check, options: Mapping[str, Any]) -> None:
    """Note every rule that the options break; one that nobody knows breaks none."""
    for name, value in options.items():
        rule = _OPTION_RULES.get(name)
        if rule is not None and value != []:
            rule(check.at(name), value)
    if "batchEvents" in options:
        clashes = [name for name in _NOT_WITH_BATCH if options.get(name)]
        for name in clashes:
            check.at("batchEvents").refuse(f"cannot be combined with {name}; remove one of them")


def _concurrency(check: Check, value: Any) -> None:
    if isinstance(value, Mapping) and ("fn" in value or "step" in value):
        for part in ("fn", "step"):
            if value.get(part) is not None:
                _limits(check.at(part), value[part], 1 if part == "fn" else _CONCURRENCY_MAX)
        return
    _limits(check, value, _CONCURRENCY_MAX)


def _limits(check: Check, value: Any, most: int) -> None:
    limits = value if isinstance(value, list) else [value]
    if len(limits) > most:
        check.refuse(f"has {len(limits)} limits; at most {most} are allowed")
    for limit in limits:
        if not isinstance(limit, Mapping):
            check.whole(limit, 0)
            continue
        members = check.members(limit)
        check.at("limit").whole(members.get("limit"), 0)
        scope = members.get("scope", "fn")
        if scope not in ("fn", "env", "account"):
            check.at("scope").refuse(f'must be "fn", "env" or "account", got {scope!r}')
        elif scope != "fn" and "key" not in members:
            check.refuse(f'has scope "{scope}" and no key; say with a key what shares the limit')
        _key(check, members)


def _throttle(check: Check, value: Any) -> None:
    members = check.members(value)
    check.at("limit").whole(members.get("limit", 1), 1)
    check.at("period").duration(members.get("period"), SECOND_MS, _WEEK_MS)
    check.at("burst").whole(members.get("burst", 0), 0)
    _key(check, members)


def _rate_limit(check: Check, value: Any) -> None:
    members = check.members(value)
    check.at("limit").whole(members.get("limit"), 1)
    check.at("period").duration(members.get("period"), SECOND_MS, DAY_MS)
    _key(check, members)


def _debounce(check: Check, value: Any) -> None:
    members = check.members(value)
    check.at("period").duration(members.get("period"), SECOND_MS, _WEEK_MS)
    if "timeout" in members:
        check.at("timeout").duration(members["timeout"], 0)
    _key(check, members)


def _batch(check: Check, value: Any) -> None:
    members = check.members(value)
    check.at("maxSize").whole(members.get("maxSize"), 2, BATCH_EVENTS_MAX)
    check.at("timeout").duration(members.get("timeout"), SECOND_MS, BATCH_TIMEOUT_MAX_MS)
    if "if" in members:
        check.at("if").expression(members["if"], TRIGGER_VARIABLES)
    _key(check, members)


def _priority(check: Check, value: Any) -> None:
    members = check.members(value)
    if "run" in members:
        check.at("run").expression(members["run"], TRIGGER_VARIABLES)


def _cancel(check: Check, value: Any) -> None:
    if not isinstance(value, list):
        check.refuse("must be a list")
        return
    if len(value) > CANCELLATIONS_MAX:
        check.refuse(f"has {len(value)} entries; the limit is {CANCELLATIONS_MAX}")
    for number, entry in enumerate(value):
        here = check.at(f"[{number}]")
        members = here.members(entry)
        here.at("event").event_name(members.get("event"), wildcards=False)
        if "if" in members:
            here.at("if").expression(members["if"], WAIT_VARIABLES, restricted=True)
        if "timeout" in members:
            here.at("timeout").timeout(members["timeout"])


def _idempotency(check: Check, value: Any) -> None:
    check.expression(value, TRIGGER_VARIABLES)


def _singleton(check: Check, value: Any) -> None:
    members = check.members(value)
    if members.get("mode") not in ("skip", "cancel"):
        check.at("mode").refuse(f'must be "skip" or "cancel", got {members.get("mode")!r}')
    _key(check, members)


def _timeouts(check: Check, value: Any) -> None:
    members = check.members(value)
    for name in ("start", "finish"):
        if name in members:
            check.at(name).duration(members[name], 0)


def _key(check: Check, members: Mapping[str, Any]) -> None:
    if "key" in members:
        check.at("key").expression(members["key"], TRIGGER_VARIABLES)


_OPTION_RULES: Final[Mapping[str, Callable[[Check, Any], None]]] = {
    "concurrency": _concurrency,
    "throttle": _throttle,
    "rateLimit": _rate_limit,
    "debounce": _debounce,
    "batchEvents": _batch,
    "priority": _priority,
    "cancel": _cancel,
    "idempotency": _idempotency,
    "singleton": _singleton,
    "timeouts": _timeouts,
}

NOT_APPLIED: Final = frozenset({"rateLimit", "singleton"})
"""The options that are checked and kept, and not acted upon yet."""


def not_applied(options: Mapping[str, Any]) -> list[str]:
    """Which of a function's options do nothing yet, by name."""
    return sorted(name for name in NOT_APPLIED & options.keys() if options[name])
