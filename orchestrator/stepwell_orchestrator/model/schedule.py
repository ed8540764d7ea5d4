"""A schedule: what starts one function by the clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stepwell.wire.cron import CronLine, read_cron
from stepwell.wire.registration import MISSED_TICKS
from stepwell.wire.times import parse_duration_ms
from stepwell_orchestrator.model.function import Function

SCHEDULED_EVENT: Final = "inngest/scheduled.timer"
"""The name of the event that a tick is."""


class Missed(StrEnum):
    """Which ticks are made up for that nobody was there for."""

    SKIP = "skip"
    LAST = "last"
    ALL = "all"


assert tuple(Missed) == MISSED_TICKS, "what may be registered is what is known here"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One cron of one function; ``cron`` is its text as it was registered, and with the function its identity.

    Each tick is late by less than ``jitter_ms``.
    """

    function_id: str
    cron: str
    jitter_ms: int = 0
    missed: Missed = Missed.SKIP

    @property
    def line(self) -> CronLine:
        """When it ticks."""
        return read_cron(self.cron)


def schedules_of(function: Function) -> tuple[Schedule, ...]:
    """The schedules of a function."""
    return tuple(
        Schedule(
            function.slug,
            trigger.cron,
            parse_duration_ms(trigger.jitter) if trigger.jitter else 0,
            Missed(trigger.missed or Missed.SKIP),
        )
        for trigger in function.triggers
        if trigger.cron is not None
    )
