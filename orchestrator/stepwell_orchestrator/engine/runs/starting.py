"""What a function's options add to the start of a run: idempotency, cancellations, deadlines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from stepwell.wire.times import parse_duration_ms, parse_when_ms
from stepwell_orchestrator.engine.runs.route import TRIGGER_VARIABLES
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.engine.waits.waiting import cancellation_pause
from stepwell_orchestrator.limits import CANCELLATION_TIMEOUT_MS
from stepwell_orchestrator.model.decision import Command
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.pause import Pause
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.model.schedule import SCHEDULED_EVENT


def idempotency_keys(event: Event, function: Function, now_ms: int) -> tuple[str, ...]:
    """What makes a second event a repeat for this function within a day.

    The sender's own event id, and the value of the function's ``idempotency`` expression. One that evaluates to
    false, as it does where the event lacks what it names, makes nothing a repeat (protocol 6.10). Ticks of two
    schedules at one time have one id, and are two.
    """
    identified = event.has_own_id and event.name != SCHEDULED_EVENT
    own = (f"{function.slug}\x00id\x00{event.id}",) if identified else ()
    expression = function.options.get("idempotency")
    if not isinstance(expression, str):
        return own
    from stepwell_orchestrator.expr.compile import compile_expression  # only expressions pay for the parser's import
    from stepwell_orchestrator.expr.errors import EvaluationError

    try:
        value = compile_expression(expression, variables=TRIGGER_VARIABLES).evaluate({"event": event.wire()}, now_ms)
    except EvaluationError:
        return own
    return own if value is False else (*own, f"{function.slug}\x00key\x00{json.dumps(value, sort_keys=True)}")


def cancellations(header: RunHeader, function: Function, event: Event, starts_at_ms: int) -> tuple[Pause, ...]:
    """The pauses that may cancel the run (protocol 6.7); their timeouts count from its start."""
    options = function.options.get("cancel")
    wanted = [option for option in options if isinstance(option, Mapping)] if isinstance(options, list) else []
    return tuple(
        cancellation_pause(
            header,
            number,
            event,
            event_name=option["event"],
            expression=option.get("if"),
            expires_at_ms=_expires_at_ms(option, starts_at_ms),
        )
        for number, option in enumerate(wanted)
    )


def deadlines(run_id: str, function: Function, starts_at_ms: int) -> Iterator[Command]:
    """The looks at whether the run started, and ended, in time."""
    timeouts = function.options.get("timeouts")
    if not isinstance(timeouts, Mapping):
        return
    kinds: tuple[Literal["start", "finish"], ...] = ("start", "finish")
    for kind in kinds:
        if isinstance(timeouts.get(kind), str):
            limit_ms = parse_duration_ms(timeouts[kind])
            yield items.deadline(run_id, kind, limit_ms, starts_at_ms + limit_ms)


def _expires_at_ms(option: Mapping[str, Any], starts_at_ms: int) -> int:
    timeout = option.get("timeout")
    if isinstance(timeout, str) and timeout:
        return parse_when_ms(timeout, starts_at_ms)
    return starts_at_ms + CANCELLATION_TIMEOUT_MS
