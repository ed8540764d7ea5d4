from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from stepwell.wire.cron import read_cron
from stepwell_orchestrator.aws.queue.recurrence import recurrence
from stepwell_orchestrator.crons.ticks import ticks_after
from tests.orchestrator.aws.strict_timers import CRON

SAID = [
    ("* * * * *", "cron(* * * * ? *)"),
    ("*/15 * * * *", "cron(0,15,30,45 * * * ? *)"),
    ("0 9 * * *", "cron(0 9 * * ? *)"),
    ("0 9 * * 0", "cron(0 9 ? * 1 *)"),
    ("0 9 * * 1", "cron(0 9 ? * 2 *)"),
    ("0 9 * * 1-5", "cron(0 9 ? * 2-6 *)"),
    ("0 9 * * sat,sun", "cron(0 9 ? * 1,7 *)"),
    ("0 9 1 * *", "cron(0 9 1 * ? *)"),
    ("0 9 28-31 feb,mar *", "cron(0 9 28-31 2-3 ? *)"),
    ("0 9 */2 */6 *", "cron(0 9 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 1,7 ? *)"),
    ("5,6,7,30 8-18/2 * * *", "cron(5-7,30 8,10,12,14,16,18 * * ? *)"),
    ("@weekly", "cron(0 0 ? * 1 *)"),
    ("@monthly", "cron(0 0 1 * ? *)"),
    ("@yearly", "cron(0 0 1 1 ? *)"),
    ("TZ=Europe/London 0 9 * * 1", "cron(0 9 ? * 2 *)"),
    ("TZ=Europe/London 0 0 * * 1", "cron(0 0 ? * 2 *)"),
    ("TZ=America/New_York */5 9-17 * * 1-5", "cron(0,5,10,15,20,25,30,35,40,45,50,55 9-17 ? * 2-6 *)"),
    ("TZ=America/New_York 30 3 * * *", "cron(30 3 * * ? *)"),
    ("TZ=Australia/Lord_Howe 0 1 * * *", "cron(0 1 * * ? *)"),
    ("TZ=Asia/Tokyo * * * * *", "cron(* * * * ? *)"),
]
UNSAID = [
    "0 9 1 * 1",
    "0 9 */2 * 1",
    "TZ=Europe/London 30 1 * * *",
    "TZ=Europe/London */5 * * * *",
    "TZ=America/New_York 30 2 * * *",
    "TZ=America/New_York 30 1 * * *",
    "TZ=Australia/Lord_Howe 15 2 * * *",
    "TZ=Australia/Lord_Howe 45 1 * * *",
]


@pytest.mark.parametrize(("text", "expression"), SAID)
def test_what_the_service_can_say(text: str, expression: str):
    """Days of the week count from 1, Sunday; one of the two day fields is empty; values in a row are a range."""
    assert recurrence(read_cron(text)) == expression
    assert CRON.fullmatch(expression)


@pytest.mark.parametrize("text", UNSAID)
def test_what_the_service_cannot_say(text: str):
    """A line with either day, and one that meets a change of its zone's clocks, have no expression."""
    assert recurrence(read_cron(text)) is None


@pytest.mark.parametrize("text", [text for text, _ in SAID])
def test_both_tick_alike(text: str):
    """What an expression means by the service's documentation is what the line ticks, across changes of the clocks."""
    line = read_cron(text)
    start = dt.datetime(2026, 1, 1, tzinfo=ZoneInfo(line.zone))
    expression = recurrence(line)
    assert expression is not None
    expected = list(islice(_ticks(expression, start), 400))
    assert expected
    assert list(islice(ticks_after(line, int(start.timestamp()) * 1_000 - 1), len(expected))) == expected


def _ticks(expression: str, start: dt.datetime) -> Iterator[int]:
    """What the documentation says: each minute on the wall that matches, unless it is skipped, and once if repeated."""
    minutes, hours, days, months, weekdays, _ = (_values(each) for each in expression[5:-1].split())
    for date in (start.date() + dt.timedelta(days=number) for number in range(366 * 4)):
        weekday = date.isoweekday() % 7 + 1
        if not (_has(days, date.day) and _has(months, date.month) and _has(weekdays, weekday)):
            continue
        for minute_of_day in range(24 * 60):
            hour, minute = divmod(minute_of_day, 60)
            if _has(hours, hour) and _has(minutes, minute):
                moment = dt.datetime.combine(date, dt.time(hour, minute), start.tzinfo)
                if moment.astimezone(dt.UTC).astimezone(start.tzinfo) == moment:
                    yield int(moment.timestamp()) * 1_000


def _values(field: str) -> set[int] | None:
    if field in "*?":
        return None
    bounds = [[*map(int, part.split("-"))] for part in re.split(",", field)]
    return {value for each in bounds for value in range(each[0], each[-1] + 1)}


def _has(values: set[int] | None, value: int) -> bool:
    return values is None or value in values
