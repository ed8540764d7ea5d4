"""Answers of the API, as the commands see them."""

from __future__ import annotations

from typing import Any

from stepwell.wire.times import format_instant

START_MS = 1_900_000_000_000
RUN_ID = "01M8226XFK38FN4FDW35DJ7CJD"
OTHER_RUN_ID = "01M8226XFK00000000000000ZZ"
EVENT_ID = "01M8226XF7Q0V9Y0C6E0T1R5KJ"


def trace_row(name: str, times: tuple[int, int | None, int | None], **members: Any) -> dict[str, Any]:
    """A step; ``times`` are milliseconds after the run's start: queued, started, ended."""
    queued, started, ended = (None if time is None else format_instant(START_MS + time) for time in times)
    row = {"id": "0" * 40, "name": name, "op": "StepRun", "status": "Completed", "attempts": 1, "output": None}
    return {**row, "queued_at": queued, "started_at": started, "ended_at": ended, "error": None, **members}


def run_answer(ended: int | None = None, **members: Any) -> dict[str, Any]:
    """A run; ``ended`` is in milliseconds after its start."""
    return {
        "run_id": RUN_ID,
        "function_id": "shop-fulfil-order",
        "event_name": "order/created",
        "status": "Completed" if ended is not None else "Running",
        "run_started_at": format_instant(START_MS),
        "ended_at": None if ended is None else format_instant(START_MS + ended),
        "output": None,
        **members,
    }
