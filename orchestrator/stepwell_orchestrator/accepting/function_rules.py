"""What a registered function must look like (protocol 2.6, 2.7): every rule it breaks, in words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from zoneinfo import ZoneInfo

from stepwell.wire.registration import NAME_MAX_CHARS, TRIGGERS_MAX, FunctionConfig, Trigger
from stepwell.wire.times import MINUTE_MS, SECOND_MS
from stepwell_orchestrator.accepting.option_rules import check_options
from stepwell_orchestrator.accepting.rule_check import Check
from stepwell_orchestrator.engine.runs.route import TRIGGER_VARIABLES

_CRON_FIELDS: Final = 5
_CRON_WORDS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_CRON_FIELD = re.compile(r"[\w*/,?#-]+")
_CRON_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)")


def broken_rules(config: FunctionConfig) -> list[str]:
    """Every rule a function breaks, a line each, naming function and field; empty when it is fine."""
    check = Check(f"function {config.id}")
    if len(config.id) > NAME_MAX_CHARS:
        check.at("id").refuse(f"has {len(config.id)} characters; the limit is {NAME_MAX_CHARS}")
    _check_triggers(check, config.triggers)
    check_options(check, config.options)
    return check.problems


def _check_triggers(check: Check, triggers: Iterable[Trigger]) -> None:
    seen: set[Trigger] = set()
    for number, trigger in enumerate(triggers):
        here = check.at(f"triggers[{number}]")
        if number == TRIGGERS_MAX:
            check.at("triggers").refuse(f"has more than {TRIGGERS_MAX} entries; split the function")
            return
        if trigger.event is not None:
            here.at("event").event_name(trigger.event)
        if trigger.expression is not None:
            here.at("expression").expression(trigger.expression, TRIGGER_VARIABLES)
        if trigger.cron is not None:
            _check_cron(here.at("cron"), trigger.cron)
        if trigger.jitter is not None:
            here.at("jitter").duration(trigger.jitter, SECOND_MS, 5 * MINUTE_MS)
        if trigger in seen:
            here.refuse("repeats an earlier trigger; remove one of them")
        seen.add(trigger)


def _check_cron(check: Check, text: str) -> None:
    zoned = _CRON_ZONE.fullmatch(text)
    fields = (zoned[2] if zoned else text).split()
    if len(text) > NAME_MAX_CHARS:
        check.refuse(f"has {len(text)} characters; the limit is {NAME_MAX_CHARS}")
    elif not _is_schedule(fields):
        check.refuse(
            f'"{text}" is no cron: five fields such as "0 9 * * 1", or a word such as "@daily", a time zone before '
            'them as "TZ=Europe/London"'
        )
    elif zoned and not _is_zone(zoned[1]):
        check.refuse(f'names no time zone: {zoned[1]}; use one such as "Europe/London"')


def _is_schedule(fields: list[str]) -> bool:
    if len(fields) == 1:
        return fields[0].lower() in _CRON_WORDS
    return len(fields) == _CRON_FIELDS and all(_CRON_FIELD.fullmatch(part) for part in fields)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
