"""Which times of day a zone's clocks skip or show twice."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from stepwell.wire.cron import CronLine

MINUTES_A_DAY: Final = 24 * 60
_YEARS: Final = range(2026, 2047)
"""Of which the changes count: zones change their rules more often than that."""
_DAY: Final = dt.timedelta(days=1)
_MINUTE: Final = dt.timedelta(minutes=1)


def meets_clock_change(line: CronLine) -> bool:
    """Whether the line has a tick at a time of day that its zone skips, or has twice, on some day."""
    changed = changed_minutes(line.zone)
    return bool(changed) and any(
        hour * 60 + minute in changed for hour in line.hour.values for minute in line.minute.values
    )


@cache
def changed_minutes(zone: str) -> frozenset[int]:
    """The minutes of a day that some day of the zone skips or has twice, counted from midnight."""
    clocks = ZoneInfo(zone)
    day = dt.datetime(_YEARS.start, 1, 1, tzinfo=dt.UTC)
    end = dt.datetime(_YEARS.stop, 1, 1, tzinfo=dt.UTC)
    changed: set[int] = set()
    while day < end:
        if _offset(clocks, day) != _offset(clocks, day + _DAY):
            changed |= _changed_by(clocks, day)
        day += _DAY
    return frozenset(changed)


def _changed_by(clocks: ZoneInfo, day: dt.datetime) -> set[int]:
    """The minutes that the change within the day that begins at ``day`` skips or repeats."""
    before, after = _offset(clocks, day), _offset(clocks, day + _DAY)
    low, high = 0, MINUTES_A_DAY
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(clocks, day + middle * _MINUTE) == before else (low, middle)
    at = day + high * _MINUTE
    first, last = (at + min(before, after)).replace(tzinfo=None), (at + max(before, after)).replace(tzinfo=None)
    count = (last - first) // _MINUTE
    return {(first.hour * 60 + first.minute + minute) % MINUTES_A_DAY for minute in range(count)}


def _offset(clocks: ZoneInfo, moment: dt.datetime) -> dt.timedelta:
    offset = moment.astimezone(clocks).utcoffset()
    assert offset is not None, "an aware time has an offset"
    return offset
