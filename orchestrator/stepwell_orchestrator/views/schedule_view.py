"""Schedules as people and clients see them: when they tick next, by the clocks of their zones. Pure."""

from __future__ import annotations

import datetime as dt
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from stepwell.wire.times import format_instant
from stepwell_orchestrator.crons.ticks import ticks_after
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.schedule import Schedule, schedules_of


def schedule_rows(function: Function, now_ms: int, count: int) -> list[dict[str, Any]]:
    """The schedules of a function, a row each, with their next ``count`` ticks."""
    return [_row(function, schedule, now_ms, count) for schedule in schedules_of(function)]


def _row(function: Function, schedule: Schedule, now_ms: int, count: int) -> dict[str, Any]:
    line = schedule.line
    zone = ZoneInfo(line.zone)
    return {
        "function_id": function.slug,
        "app_id": function.app_id,
        "cron": schedule.cron,
        "tz": line.zone,
        "jitter_ms": schedule.jitter_ms,
        "missed": schedule.missed.value,
        "next": [
            {"at": format_instant(tick_ms), "local": dt.datetime.fromtimestamp(tick_ms / 1_000, zone).isoformat()}
            for tick_ms in islice(ticks_after(line, now_ms), count)
        ],
    }
