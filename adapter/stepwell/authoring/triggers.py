"""What starts a function: ``on=`` as an author writes it, checked and turned into wire triggers (protocol 2.6, 3.6)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from stepwell.authoring.schedule import check_cron
from stepwell.values.checks import Duration, Field
from stepwell.values.event import Event
from stepwell.values.event_names import EventName, event_name
from stepwell.wire.registration import MISSED_TICKS, TRIGGERS_MAX, Trigger
from stepwell.wire.times import MINUTE_MS, SECOND_MS

JITTER_MAX_MS: Final = 5 * MINUTE_MS
MissedTicks = Literal["skip", "last", "all"]


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """An event by name (a tail of ``/*`` or ``.*`` is a wildcard) or class, when ``if_`` is absent or true for it."""

    event: EventName
    if_: str | None = None

    def encode(self, field: Field) -> Trigger:
        """The wire trigger. Raises DefinitionError."""
        expression = None if self.if_ is None else field.member("if_").expression(self.if_, "event")
        return Trigger(event=event_name(field, self.event, wildcard=True), expression=expression)


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """A cron ``schedule`` in time zone ``tz`` (UTC when None), each tick late by up to ``jitter``.

    ``missed`` says which ticks are made up for after an outage.
    """

    schedule: str
    tz: str | None = None
    jitter: Duration | None = None
    missed: MissedTicks = "skip"

    def encode(self, field: Field) -> Trigger:
        """The wire trigger. Raises DefinitionError."""
        jitter = None if self.jitter is None else field.member("jitter").duration(self.jitter, SECOND_MS, JITTER_MAX_MS)
        missed = field.member("missed").choice(self.missed, MISSED_TICKS)
        cron = check_cron(field, self.schedule, self.tz)
        return Trigger(cron=cron, jitter=jitter, missed=None if missed == MISSED_TICKS[0] else missed)


On = EventName | EventTrigger | CronTrigger


@dataclass(frozen=True, slots=True)
class Triggers:
    """A function's triggers on the wire, and the event classes among them by event name."""

    wire: tuple[Trigger, ...]
    event_types: Mapping[str, type[Event]] = field(default_factory=dict)


def on(event: EventName, *, if_: str | None = None) -> EventTrigger:
    """Start a function on ``event``, and only when the expression ``if_`` over ``event`` is true.

    ``stepwell.on("order/created", if_="event.data.total > 100")``
    """
    return EventTrigger(event, if_)


def cron(
    schedule: str,
    *,
    tz: str | None = None,
    jitter: str | dt.timedelta | None = None,
    missed: MissedTicks = "skip",
) -> CronTrigger:
    """Start a function by the clock: five cron fields or a word such as ``@daily``, in a time zone (default UTC).

    ``jitter`` of 1 s to 5 min makes each tick late by up to so much. ``missed`` is what happens after an outage to the
    ticks that nobody was there for: they are skipped, or the ``"last"`` of them still comes, or ``"all"``, up to 100.

    ``stepwell.cron("0 9 * * 1", tz="Europe/London")``
    """
    return CronTrigger(schedule, tz, jitter, missed)


def triggers_of(function_id: str, value: On | Sequence[On] | None) -> Triggers:
    """What ``on=value`` means. None and an empty list leave a function that only ``step.invoke`` starts.

    Raises DefinitionError naming the function and the field.
    """
    field = Field(function_id, "on")
    items = list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
    if len(items) > TRIGGERS_MAX:
        raise field.error(f"has {len(items)} triggers; the limit is {TRIGGERS_MAX}")
    triggers = [_trigger(field, item) for item in items]
    wire = tuple(trigger.encode(field) for trigger in triggers)
    _refuse_duplicates(field, wire)
    classes = [item.event for item in triggers if isinstance(item, EventTrigger) and isinstance(item.event, type)]
    return Triggers(wire, {event_name(field, each): each for each in classes})


def _trigger(field: Field, item: Any) -> EventTrigger | CronTrigger:
    if isinstance(item, EventTrigger | CronTrigger):
        return item
    return EventTrigger(item)


def _refuse_duplicates(field: Field, wire: tuple[Trigger, ...]) -> None:
    """Two crons that differ only in jitter, or in what is missed, are the same schedule."""
    seen: set[tuple[str | None, ...]] = set()
    for trigger in wire:
        key = (trigger.event, trigger.expression, trigger.cron)
        if key in seen:
            raise field.error(f'lists "{trigger.event or trigger.cron}" twice; leave one of them out')
        seen.add(key)
