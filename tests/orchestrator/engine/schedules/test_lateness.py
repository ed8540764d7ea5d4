from __future__ import annotations

import pytest

from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.engine.schedules.lateness import counts, following
from stepwell_orchestrator.limits import MISSED_TICKS_MAX, TICK_LATE_MS
from stepwell_orchestrator.model.schedule import Missed, Schedule

NOON_MS = 1_767_268_800_000


def hourly(missed: Missed, jitter_ms: int = 0) -> Schedule:
    """A schedule that ticks every hour."""
    return Schedule("shop-report", "0 * * * *", jitter_ms, missed)


def looked_at(schedule: Schedule, first_ms: int, now_ms: int) -> tuple[list[int], int]:
    """The hours from noon whose ticks still start a run when the first one is looked at by now, and the next hour."""
    tick_ms, started = first_ms, []
    while tick_ms <= now_ms:
        if counts(schedule, tick_ms, now_ms):
            started.append((tick_ms - NOON_MS) // HOUR_MS)
        tick_ms = following(schedule, tick_ms, now_ms)
    return started, (tick_ms - NOON_MS) // HOUR_MS


@pytest.mark.parametrize(
    ("missed", "late_ms", "started", "then"),
    [
        (Missed.SKIP, 0, [0], 1),
        (Missed.LAST, 0, [0], 1),
        (Missed.ALL, 0, [0], 1),
        (Missed.SKIP, TICK_LATE_MS, [0], 1),
        (Missed.SKIP, TICK_LATE_MS + 1, [], 1),
        (Missed.LAST, TICK_LATE_MS + 1, [0], 1),
        (Missed.ALL, TICK_LATE_MS + 1, [0], 1),
        (Missed.SKIP, 3 * HOUR_MS + MINUTE_MS, [3], 4),
        (Missed.LAST, 3 * HOUR_MS + MINUTE_MS, [3], 4),
        (Missed.ALL, 3 * HOUR_MS + MINUTE_MS, [0, 1, 2, 3], 4),
        (Missed.SKIP, 3 * HOUR_MS + 30 * MINUTE_MS, [], 4),
        (Missed.LAST, 3 * HOUR_MS + 30 * MINUTE_MS, [3], 4),
        (Missed.ALL, 3 * HOUR_MS + 30 * MINUTE_MS, [0, 1, 2, 3], 4),
    ],
)
def test_what_comes_after_an_outage(missed: Missed, late_ms: int, started: list[int], then: int):
    """Up to five minutes late a tick counts; of later ones none, the last so far, or all, and then it goes on."""
    assert looked_at(hourly(missed), NOON_MS, NOON_MS + late_ms) == (started, then)


def test_what_is_made_up_for_is_bounded():
    """After a year without a server, the last hundred ticks are made up for, or the last one, and no more looked at."""
    now_ms = NOON_MS + 365 * 24 * HOUR_MS + 30 * MINUTE_MS
    hours = 365 * 24
    everything = list(range(hours - MISSED_TICKS_MAX + 1, hours + 1))
    assert looked_at(hourly(Missed.ALL), NOON_MS, now_ms) == (everything, hours + 1)
    assert looked_at(hourly(Missed.LAST), NOON_MS, now_ms) == ([hours], hours + 1)
    assert looked_at(hourly(Missed.SKIP), NOON_MS, now_ms) == ([], hours + 1)


def test_jitter_is_no_lateness():
    """A tick that its jitter delays has five minutes from then on."""
    schedule = hourly(Missed.SKIP, 30 * SECOND_MS)
    assert counts(schedule, NOON_MS, NOON_MS + TICK_LATE_MS + 30 * SECOND_MS)
    assert not counts(schedule, NOON_MS, NOON_MS + TICK_LATE_MS + 30 * SECOND_MS + 1)


@pytest.mark.parametrize("missed", list(Missed))
def test_a_tick_that_comes_early_by_this_clock_is_followed_by_another(missed: Missed):
    """Whatever the clock says, the next tick to look at is a later one."""
    assert following(hourly(missed), NOON_MS, NOON_MS - SECOND_MS) == NOON_MS + HOUR_MS
