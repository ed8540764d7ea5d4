"""What a registered function must look like (protocol 2.6, 2.7): every rule it breaks, in words."""

from __future__ import annotations

from collections.abc import Iterable

from stepwell.errors import WireError
from stepwell.wire.cron import read_cron
from stepwell.wire.registration import MISSED_TICKS, NAME_MAX_CHARS, TRIGGERS_MAX, FunctionConfig, Trigger
from stepwell.wire.times import MINUTE_MS, SECOND_MS
from stepwell_orchestrator.accepting.option_rules import check_options
from stepwell_orchestrator.accepting.rule_check import Check
from stepwell_orchestrator.engine.runs.route import TRIGGER_VARIABLES


def broken_rules(config: FunctionConfig) -> list[str]:
    """Every rule a function breaks, a line each, naming function and field; empty when it is fine."""
    check = Check(f"function {config.id}")
    if len(config.id) > NAME_MAX_CHARS:
        check.at("id").refuse(f"has {len(config.id)} characters; the limit is {NAME_MAX_CHARS}")
    _check_triggers(check, config.triggers)
    check_options(check, config.options)
    return check.problems


def _check_triggers(check: Check, triggers: Iterable[Trigger]) -> None:
    seen: set[tuple[str | None, ...]] = set()
    for number, trigger in enumerate(triggers):
        here = check.at(f"triggers[{number}]")
        if number == TRIGGERS_MAX:
            check.at("triggers").refuse(f"has more than {TRIGGERS_MAX} entries; split the function")
            return
        if trigger.event is not None:
            here.at("event").event_name(trigger.event)
        if trigger.expression is not None:
            here.at("expression").expression(trigger.expression, TRIGGER_VARIABLES)
        _check_schedule(here, trigger)
        # Two crons that differ only in jitter, or in what is missed, are the same schedule.
        key = (trigger.event, trigger.expression, trigger.cron)
        if key in seen:
            here.refuse("repeats an earlier trigger; remove one of them")
        seen.add(key)


def _check_schedule(here: Check, trigger: Trigger) -> None:
    if trigger.cron is not None:
        try:
            read_cron(trigger.cron)
        except WireError as error:
            here.at("cron").refuse(f"is refused: {error}")
    if trigger.jitter is not None:
        here.at("jitter").duration(trigger.jitter, SECOND_MS, 5 * MINUTE_MS)
    if trigger.missed is not None and trigger.missed not in MISSED_TICKS:
        words = " or ".join(f'"{word}"' for word in MISSED_TICKS)
        here.at("missed").refuse(f"must be {words}, got {trigger.missed!r}")
