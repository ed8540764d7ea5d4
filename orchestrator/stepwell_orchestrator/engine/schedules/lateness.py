"""Ticks that come late: which of them still count, and which is the next to look at.

| a tick comes                     | ``skip``     | ``last``                       | ``all``                      |
| -------------------------------- | ------------ | ------------------------------ | ---------------------------- |
| up to five minutes late          | counts       | counts                         | counts                       |
| later, and is the last so far    | is left out  | counts                         | counts                       |
| later, and others are due by now | is left out  | is left out                    | counts, if of the last 100   |
| ... then the one to look at next | the first in | the first in time, if it is    | the first of the last 100,   |
| is                               | time         | due, else the last so far      | else the first in time       |

One that comes up to five minutes late is in time.
"""

from __future__ import annotations

from typing import assert_never

from stepwell_orchestrator.crons.ticks import latest_ticks, next_tick
from stepwell_orchestrator.limits import MISSED_TICKS_MAX, TICK_LATE_MS
from stepwell_orchestrator.model.schedule import Missed, Schedule


def counts(schedule: Schedule, tick_ms: int, now_ms: int) -> bool:
    """Whether a tick that somebody looks at by now still starts a run."""
    if tick_ms >= _in_time_ms(schedule, now_ms):
        return True
    match schedule.missed:
        case Missed.SKIP:
            return False
        case Missed.LAST:
            return next_tick(schedule.line, tick_ms) > now_ms
        case Missed.ALL:
            return len(latest_ticks(schedule.line, tick_ms, now_ms, MISSED_TICKS_MAX)) < MISSED_TICKS_MAX
        case _:
            assert_never(schedule.missed)


def following(schedule: Schedule, tick_ms: int, now_ms: int) -> int:
    """The tick to look at after that of ``tick_ms``: those between the two do not count by now."""
    line, in_time_ms = schedule.line, _in_time_ms(schedule, now_ms)
    first_in_time_ms = next_tick(line, max(tick_ms, in_time_ms - 1))
    match schedule.missed:
        case Missed.SKIP:
            return first_in_time_ms
        case Missed.LAST:
            late = latest_ticks(line, tick_ms, now_ms, 1) if first_in_time_ms > now_ms else []
        case Missed.ALL:
            late = latest_ticks(line, tick_ms, now_ms, MISSED_TICKS_MAX)
        case _:
            assert_never(schedule.missed)
    return late[0] if late else first_in_time_ms


def _in_time_ms(schedule: Schedule, now_ms: int) -> int:
    """The earliest tick that is not missed."""
    return now_ms - TICK_LATE_MS - schedule.jitter_ms
