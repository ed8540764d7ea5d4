"""What a registered function must look like (protocol 2.6, 2.7): every rule it breaks, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from stepwell.errors import DefinitionError, WireError
from stepwell.wire.registration import CANCELLATIONS_MAX, NAME_MAX_CHARS, TRIGGERS_MAX, FunctionConfig, Trigger
from stepwell.wire.times import DAY_MS, MINUTE_MS, SECOND_MS, parse_duration_ms, parse_instant_ms
from stepwell_orchestrator.expr.compile import compile_expression

_EVENT: Final = frozenset({"event"})
_EVENT_AND_ASYNC: Final = frozenset({"event", "async"})
_CONCURRENCY_MAX: Final = 2
_FOREVER_MS: Final = 366 * DAY_MS
_WEEK_MS: Final = 7 * DAY_MS
_CRON_FIELDS: Final = 5
_CRON_FIELD = re.compile(r"[\w*/,?#-]+")
_CRON_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)")
_NOT_WITH_BATCH = ("cancel", "debounce", "singleton", "priority")


def broken_rules(config: FunctionConfig) -> list[str]:
    """Every rule a function breaks, a line each, naming function and field; empty when it is fine."""
    check = _Check(f"function {config.id}")
    if len(config.id) > NAME_MAX_CHARS:
        check.at("id").refuse(f"has {len(config.id)} characters; the limit is {NAME_MAX_CHARS}")
    _check_triggers(check, config.triggers)
    for name, value in config.options.items():
        rule = _OPTION_RULES.get(name)
        if rule is not None and value != []:
            rule(check.at(name), value)
    if "batchEvents" in config.options:
        clashes = [name for name in _NOT_WITH_BATCH if config.options.get(name)]
        for name in clashes:
            check.at("batchEvents").refuse(f"cannot be combined with {name}; remove one of them")
    return check.problems


@dataclass(frozen=True, slots=True)
class _Check:
    """Where in a function a rule is looked at, and the problems found so far."""

    where: str
    problems: list[str] = field(default_factory=list)

    def at(self, member: str) -> _Check:
        return _Check(f"{self.where}: {member}", self.problems)

    def refuse(self, why: str) -> None:
        self.problems.append(f"{self.where} {why}")

    def members(self, value: Any) -> Mapping[str, Any]:
        """The members of an object, nulls removed; of anything else none, and it is refused."""
        if not isinstance(value, Mapping):
            self.refuse("must be an object")
            return {}
        return {key: inner for key, inner in value.items() if inner is not None}

    def whole(self, value: Any, low: int, high: int | None = None) -> None:
        fits = (
            isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high)
        )
        if not fits:
            bounds = f"{low} or more" if high is None else f"from {low} to {high}"
            self.refuse(f"must be a whole number {bounds}, got {value!r}")

    def duration(self, value: Any, low_ms: int, high_ms: int = _FOREVER_MS) -> None:
        try:
            duration_ms = parse_duration_ms(value) if isinstance(value, str) else None
        except WireError:
            duration_ms = None
        if duration_ms is None:
            self.refuse(f'must be a duration such as "30s" or "1h30m", got {value!r}')
        elif not low_ms <= duration_ms <= high_ms:
            self.refuse(f"is {value}; it must be from {low_ms // SECOND_MS} s to {high_ms // SECOND_MS} s")

    def timeout(self, value: Any) -> None:
        """A duration, or the instant at which it is up (protocol 8.5)."""
        try:
            parse_instant_ms(value if isinstance(value, str) else "")
        except WireError:
            self.duration(value, 0)

    def expression(self, text: Any, variables: frozenset[str], *, restricted: bool = False) -> None:
        if not isinstance(text, str):
            self.refuse(f"must be an expression, got {text!r}")
            return
        try:
            compile_expression(text, variables=variables, restricted=restricted)
        except DefinitionError as error:
            self.refuse(f"is no valid expression: {error}")

    def event_name(self, name: Any, *, wildcards: bool = True) -> None:
        if not isinstance(name, str) or not name.strip():
            self.refuse("must be an event name")
        elif len(name) > NAME_MAX_CHARS:
            self.refuse(f"has {len(name)} characters; the limit is {NAME_MAX_CHARS}")
        elif "*" in name and not wildcards:
            self.refuse(f'"{name}" has a wildcard, which only triggers may have; name the event in full')
        elif "*" in name[:-1] or (name.endswith("*") and not name.endswith(("/*", ".*"))):
            self.refuse(f'"{name}" has a misplaced wildcard; it may only end in "/*" or ".*"')


def _check_triggers(check: _Check, triggers: Iterable[Trigger]) -> None:
    seen: set[Trigger] = set()
    for number, trigger in enumerate(triggers):
        here = check.at(f"triggers[{number}]")
        if number == TRIGGERS_MAX:
            check.at("triggers").refuse(f"has more than {TRIGGERS_MAX} entries; split the function")
            return
        if trigger.event is not None:
            here.at("event").event_name(trigger.event)
        if trigger.expression is not None:
            here.at("expression").expression(trigger.expression, _EVENT)
        if trigger.cron is not None:
            _check_cron(here.at("cron"), trigger.cron)
        if trigger.jitter is not None:
            here.at("jitter").duration(trigger.jitter, SECOND_MS, 5 * MINUTE_MS)
        if trigger in seen:
            here.refuse("repeats an earlier trigger; remove one of them")
        seen.add(trigger)


def _check_cron(check: _Check, text: str) -> None:
    zoned = _CRON_ZONE.fullmatch(text)
    fields = (zoned[2] if zoned else text).split()
    if len(text) > NAME_MAX_CHARS:
        check.refuse(f"has {len(text)} characters; the limit is {NAME_MAX_CHARS}")
    elif len(fields) != _CRON_FIELDS or not all(_CRON_FIELD.fullmatch(part) for part in fields):
        check.refuse(
            f'"{text}" is no cron: five fields such as "0 9 * * 1", a time zone before them as "TZ=Europe/London"'
        )
    elif zoned and not _is_zone(zoned[1]):
        check.refuse(f'names no time zone: {zoned[1]}; use one such as "Europe/London"')


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True


def _concurrency(check: _Check, value: Any) -> None:
    if isinstance(value, Mapping) and ("fn" in value or "step" in value):
        for part in ("fn", "step"):
            if value.get(part) is not None:
                _limits(check.at(part), value[part], 1 if part == "fn" else _CONCURRENCY_MAX)
        return
    _limits(check, value, _CONCURRENCY_MAX)


def _limits(check: _Check, value: Any, most: int) -> None:
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


def _throttle(check: _Check, value: Any) -> None:
    members = check.members(value)
    check.at("limit").whole(members.get("limit", 1), 1)
    check.at("period").duration(members.get("period"), SECOND_MS, _WEEK_MS)
    check.at("burst").whole(members.get("burst", 0), 0)
    _key(check, members)


def _rate_limit(check: _Check, value: Any) -> None:
    members = check.members(value)
    check.at("limit").whole(members.get("limit"), 1)
    check.at("period").duration(members.get("period"), SECOND_MS, DAY_MS)
    _key(check, members)


def _debounce(check: _Check, value: Any) -> None:
    members = check.members(value)
    check.at("period").duration(members.get("period"), SECOND_MS, _WEEK_MS)
    if "timeout" in members:
        check.at("timeout").duration(members["timeout"], 0)
    _key(check, members)


def _batch(check: _Check, value: Any) -> None:
    members = check.members(value)
    check.at("maxSize").whole(members.get("maxSize"), 2)
    check.at("timeout").duration(members.get("timeout"), SECOND_MS)
    if "if" in members:
        check.at("if").expression(members["if"], _EVENT)
    _key(check, members)


def _priority(check: _Check, value: Any) -> None:
    members = check.members(value)
    if "run" in members:
        check.at("run").expression(members["run"], _EVENT)


def _cancel(check: _Check, value: Any) -> None:
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
            here.at("if").expression(members["if"], _EVENT_AND_ASYNC, restricted=True)
        if "timeout" in members:
            here.at("timeout").timeout(members["timeout"])


def _idempotency(check: _Check, value: Any) -> None:
    check.expression(value, _EVENT)


def _singleton(check: _Check, value: Any) -> None:
    members = check.members(value)
    if members.get("mode") not in ("skip", "cancel"):
        check.at("mode").refuse(f'must be "skip" or "cancel", got {members.get("mode")!r}')
    _key(check, members)


def _timeouts(check: _Check, value: Any) -> None:
    members = check.members(value)
    for name in ("start", "finish"):
        if name in members:
            check.at(name).duration(members[name], 0)


def _key(check: _Check, members: Mapping[str, Any]) -> None:
    if "key" in members:
        check.at("key").expression(members["key"], _EVENT)


_OPTION_RULES: Final[Mapping[str, Callable[[_Check, Any], None]]] = {
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

FLOW_CONTROL: Final = frozenset(_OPTION_RULES) - {"cancel", "idempotency", "timeouts"}
"""The options that are checked and kept, and not acted upon yet."""
