from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.wire.cron import CronLine, read_cron
from stepwell.wire.times import DAY_MS, HOUR_MS, MINUTE_MS
from stepwell_orchestrator.crons.clock_changes import changed_minutes, meets_clock_change
from stepwell_orchestrator.crons.ticks import latest_ticks, next_tick, ticks_after

LONDON, NEW_YORK, LORD_HOWE = "Europe/London", "America/New_York", "Australia/Lord_Howe"
"""An hour at 01:00 UTC, an hour at 02:00 of its own clocks, and half an hour, on the southern side."""


def utc(text: str) -> int:
    """Epoch milliseconds of a time in UTC."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 1_000


def in_utc(tick_ms: int) -> str:
    """A tick as people write it."""
    return f"{dt.datetime.fromtimestamp(tick_ms / 1_000, dt.UTC):%m-%d %H:%M}"


def ticks(text: str, start: str, count: int) -> list[str]:
    """The first ticks of a line after a time."""
    return [in_utc(tick_ms) for tick_ms in islice(ticks_after(read_cron(text), utc(start)), count)]


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("0 9 * * 1", "2026-12-01", ["12-07 09:00", "12-14 09:00"]),
        ("TZ=Europe/London 0 9 * * 1", "2026-06-01T08:00", ["06-08 08:00", "06-15 08:00"]),
        ("*/20 * * * *", "2026-12-01T00:00:00.5", ["12-01 00:20", "12-01 00:40", "12-01 01:00"]),
        ("@monthly", "2026-12-01", ["01-01 00:00", "02-01 00:00"]),
        ("0 0 29 2 *", "2026-12-01", ["02-29 00:00"]),
        ("0 0 13 * 5", "2026-11-01", ["11-06 00:00", "11-13 00:00", "11-20 00:00"]),
        ("0 0 1,13 * 0", "2026-11-28", ["11-29 00:00", "12-01 00:00", "12-06 00:00", "12-13 00:00"]),
        ("0 0 */15 * 1", "2026-11-28", ["11-30 00:00", "12-01 00:00", "12-07 00:00"]),
    ],
)
def test_ticks(text: str, start: str, expected: list[str]):
    """A line ticks on the minutes, hours and days it names, later than the time that is asked for."""
    assert ticks(text, start, len(expected)) == expected


@pytest.mark.parametrize(
    ("zone", "line", "start", "expected"),
    [
        # A time that does not exist ticks at the next one that does.
        (LONDON, "30 1 * * *", "2026-03-28", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        (NEW_YORK, "30 2 * * *", "2026-03-07", ["03-07 07:30", "03-08 07:00", "03-09 06:30"]),
        (LORD_HOWE, "15 2 * * *", "2026-10-02", ["10-02 15:45", "10-03 15:30", "10-04 15:15"]),
        # One that ticks then anyway is one tick.
        (LONDON, "0,30 1,2 * * *", "2026-03-29", ["03-29 01:00", "03-29 01:30", "03-30 00:00"]),
        # A time that comes twice ticks when it comes first.
        (LONDON, "30 1 * * *", "2026-10-24T01:00", ["10-25 00:30", "10-26 01:30"]),
        (NEW_YORK, "30 1 * * *", "2026-10-31T06:00", ["11-01 05:30", "11-02 06:30"]),
        (LORD_HOWE, "45 1 * * *", "2026-04-03T15:00", ["04-04 14:45", "04-05 15:15"]),
        # Asked for in the middle of the second time.
        (LONDON, "45 1 * * *", "2026-10-25T01:10", ["10-26 01:45"]),
        # What begins with a star goes by the clock on the wall.
        (LONDON, "*/30 * * * *", "2026-03-29T00:15", ["03-29 00:30", "03-29 01:00", "03-29 01:30"]),
        (LONDON, "0 * * * *", "2026-10-24T23:30", ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        (NEW_YORK, "*/30 1 * * *", "2026-11-01T04:00", ["11-01 05:00", "11-01 05:30", "11-01 06:00", "11-01 06:30"]),
        (LORD_HOWE, "0 * * * *", "2026-10-03T14:00", ["10-03 14:30", "10-03 16:00"]),
    ],
)
def test_where_the_clocks_change(zone: str, line: str, start: str, expected: list[str]):
    """A time that does not exist ticks once at the next that does, one that comes twice ticks once: in three zones."""
    found = ticks(f"TZ={zone} {line}", start, len(expected))
    assert found == expected


LINES = st.tuples(
    st.sampled_from(["0", "30", "15,45", "0-10/5"]),
    st.sampled_from(["2", "1,3", "0-4", "0-23/2"]),
    st.sampled_from(["*", "1", "25-31", "*/7"]),
    st.sampled_from(["*", "3,4,9-11"]),
    st.sampled_from(["*", "0", "1-5"]),
).map(" ".join)
ZONES = st.sampled_from([LONDON, NEW_YORK, LORD_HOWE, "Africa/Cairo", "UTC", "Asia/Kathmandu"])


@given(LINES, ZONES, st.integers(utc("2026-01-01") // DAY_MS, utc("2029-01-01") // DAY_MS))
def test_named_times_tick_once_a_day_each(text: str, zone: str, day: int):
    """Over ten days, the ticks of named times are those of the calendar: once each, moved on where there is no such."""
    line, start_ms = read_cron(f"TZ={zone} {text}"), day * DAY_MS
    end_ms = start_ms + 10 * DAY_MS
    found = list(takewhile(lambda tick_ms: tick_ms <= end_ms, ticks_after(line, start_ms)))
    assert found == _by_the_calendar(line, start_ms, end_ms)


def _by_the_calendar(line: CronLine, after_ms: int, until_ms: int) -> list[int]:
    zone = ZoneInfo(line.zone)
    first = dt.datetime.fromtimestamp(after_ms / 1_000, zone).date() - dt.timedelta(days=1)
    moments = {_instant_ms(naive, zone) for naive in _local_times(line, first, 13)}
    return sorted(each for each in moments if after_ms < each <= until_ms)


def _local_times(line: CronLine, first: dt.date, days: int) -> Iterator[dt.datetime]:
    for date in (first + dt.timedelta(days=count) for count in range(days)):
        of_month, of_week = date.day in line.day.values, (date.weekday() + 1) % 7 in line.weekday.values
        right = of_month or of_week if line.either_day else of_month and of_week
        if right and date.month in line.month.values:
            yield from (
                dt.datetime.combine(date, dt.time(hour, minute))
                for hour in line.hour.values
                for minute in line.minute.values
            )


def _instant_ms(naive: dt.datetime, zone: ZoneInfo) -> int:
    """The first moment at which the clocks show a time, or the first after it when they never do."""
    while True:
        moment = naive.replace(tzinfo=zone, fold=0)
        if moment.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) == naive:
            return int(moment.timestamp()) * 1_000
        naive += dt.timedelta(minutes=1)


@pytest.mark.parametrize("text", ["* * * * *", "*/7 0-1 * * *", "30 2 * * *", "0 0 1 1 *", "0 0 29 2 *"])
@pytest.mark.parametrize("limit", [1, 3, 100])
def test_the_latest_ticks(text: str, limit: int):
    """The latest ticks of a span are the end of all its ticks, also where the span begins within them."""
    line, until_ms = read_cron(text), utc("2028-12-01T18:30")
    for span_ms in (MINUTE_MS, HOUR_MS, 30 * DAY_MS):
        since_ms = until_ms - span_ms
        everything = list(takewhile(lambda tick_ms: tick_ms <= until_ms, ticks_after(line, since_ms)))
        assert latest_ticks(line, since_ms, until_ms, limit) == everything[-limit:]


def test_a_tick_at_the_end_of_the_span_is_in_it():
    """A span has its end and not its start."""
    line, noon_ms = read_cron("0 12 * * *"), utc("2026-12-01T12:00")
    assert latest_ticks(line, noon_ms - DAY_MS, noon_ms, 5) == [noon_ms]
    assert next_tick(line, noon_ms) == noon_ms + DAY_MS
    assert next_tick(line, noon_ms - 1) == noon_ms


@pytest.mark.parametrize(
    ("zone", "first", "count"),
    [(LONDON, 60, 60), (NEW_YORK, 60, 120), (LORD_HOWE, 90, 60), ("Asia/Tokyo", 0, 0), ("UTC", 0, 0)],
)
def test_the_minutes_that_a_zone_skips_or_repeats(zone: str, first: int, count: int):
    """A zone's clocks skip some minutes of a day on one day and repeat some on another, or it has no such days."""
    assert changed_minutes(zone) == frozenset(range(first, first + count))


@pytest.mark.parametrize(
    ("text", "meets"),
    [
        ("30 1 * * *", True),
        ("0 1 * * *", True),
        ("59 0 * * *", False),
        ("0 2 * * *", False),
        ("0 9 * * 1", False),
        ("*/5 9-17 * * *", False),
        ("*/5 * * * *", True),
        ("0 */2 * * *", False),
    ],
)
def test_lines_that_meet_a_change_of_clocks(text: str, meets: bool):
    """A line meets a change of its zone's clocks when it has a tick at a time of day that they skip or repeat."""
    assert meets_clock_change(read_cron(f"TZ={LONDON} {text}")) is meets
    assert meets_clock_change(read_cron(text)) is False
