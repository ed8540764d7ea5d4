"""``step.wait_for_event``: the run goes on when an event comes, or when its time is up (protocol 6.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from stepwell.errors import EventError
from stepwell.steps.calls import Duration, StepId, TypedStepCall, duration_ms, misuse, options_of, refuse_policy
from stepwell.steps.timeouts import WAIT_MAX_MS, Timeout, wait_timeout_text
from stepwell.values.checks import Field
from stepwell.values.event import Event
from stepwell.values.event_names import EventName, event_name
from stepwell.wire.opcodes import Op
from stepwell.wire.times import format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class EventWait:
    """What to wait for, as the user gave it. ``lookback``: ``"run"``, or how far back events count."""

    event: EventName
    timeout: Timeout | None = None
    match: str | None = None
    if_: str | None = None
    lookback: Duration | None = None


def wait_for_event_call(step: StepId, wait: EventWait, now_ms: int) -> TypedStepCall[Any]:
    """A step that gives an Event, of the class that was given, or None. Raises DefinitionError naming the argument."""
    options = options_of(step)
    refuse_policy(options, "a wait is never retried; leave StepOptions.retries and .timeout out, and pass timeout=")
    field = Field(options.id, "wait_for_event", "step")
    name = event_name(field.member("event"), wait.event)
    condition = field.condition(wait.match, wait.if_)
    lookback = None if wait.lookback is None else _lookback(options.id, wait.lookback)
    opts = {
        "event": name,
        "timeout": wait_timeout_text(options.id, "wait_for_event", wait.timeout, now_ms),
        "if": condition,
        "lookback": lookback,
    }
    return TypedStepCall(
        user_id=options.id,
        op=Op.WAIT_FOR_EVENT,
        name=name,
        display_name=options.name or options.id,
        restore=partial(_restore, options.id, wait.event if isinstance(wait.event, type) else Event),
        opts={key: value for key, value in opts.items() if value is not None},
        may_raise=isinstance(wait.event, type),
    )


def _lookback(step_id: str, lookback: Duration) -> str:
    if lookback == "run":
        return "run"
    length_ms = duration_ms(step_id, "lookback", lookback)
    if not 0 < length_ms <= WAIT_MAX_MS:
        raise misuse(step_id, f'lookback must be "run" or a duration up to 366d, got {lookback!r}')
    return format_duration(length_ms)


def _restore(step_id: str, event_class: type[Event], value: Any) -> Event | None:
    """Raises EventError naming step, event and field when what came is not of the class."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise EventError(f'step "{step_id}": the journal has {value!r} for it, which is no event')
    try:
        return event_class.from_wire(value)
    except EventError as error:
        raise EventError(f'step "{step_id}": {error}') from None
