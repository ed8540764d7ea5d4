"""The statements behind the listings: newest first by id, whatever the filter.

A listing that starts at a time reads what lies in its window, and no more; any other walks an index from the newest id
down and stops at its limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepwell_orchestrator.model.event import is_internal
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.ports import EventFilter, RunFilter

Statement = tuple[str, list[Any]]
_Condition = tuple[str, Any]


def runs(wanted: RunFilter, cursor: str | None, limit: int) -> Statement:
    """The headers of one page of runs."""
    conditions = _given(
        ("function_id = ?", wanted.function_id),
        ("app_id = ?", wanted.app_id),
        ("created_at_ms >= ?", wanted.from_ms),
        ("created_at_ms < ?", wanted.until_ms),
        ("run_id < ?", cursor),
    )
    statuses = wanted.statuses or tuple(RunStatus)
    # Indexed by status and then id, each status is in order for itself: a walk each, merged.
    groups = [statuses] if wanted.from_ms is not None else [(status,) for status in statuses]
    source = f"runs INDEXED BY {_runs_index(wanted)}"
    walks = [_newest("run_id", source, f"status IN ({_marks(group)}) AND {_all(conditions)}") for group in groups]
    merged = " UNION ALL ".join(f"SELECT * FROM ({walk})" for walk in walks)  # noqa: S608 (no text of a caller's)
    values = [value for _, value in conditions]
    parameters = [parameter for group in groups for parameter in (*group, *values, limit)]
    return _page("headers", "run_id", _newest("run_id", f"({merged})", "TRUE")), [*parameters, limit]


def events(wanted: EventFilter, cursor: str | None, limit: int) -> Statement:
    """One page of events."""
    conditions = _given(
        ("name = ?", wanted.name),
        ("received_at_ms > ?", wanted.after_ms),
        ("received_at_ms < ?", wanted.before_ms),
        ("internal_id < ?", cursor),
    )
    where = _all(conditions)
    if not wanted.include_internal:
        # A name decides it once, not event by event.
        where += " AND internal = 0" if wanted.name is None else f" AND {not is_internal(wanted.name)}"
    newest = _newest("internal_id", f"events {_events_index(wanted)}", where)
    return _page("plain_events", "internal_id", newest), [*(value for _, value in conditions), limit]


def _newest(key: str, source: str, where: str) -> str:
    return f"SELECT {key} FROM {source} WHERE {where} ORDER BY {key} DESC LIMIT ?"  # noqa: S608 (no text of a caller's)


def _page(view: str, key: str, newest: str) -> str:
    return f"SELECT * FROM {view} WHERE {key} IN ({newest}) ORDER BY {key} DESC"  # noqa: S608 (no text of a caller's)


def _runs_index(wanted: RunFilter) -> str:
    if wanted.from_ms is not None:
        return "runs_by_creation"
    if wanted.function_id is not None:
        return "runs_by_function"
    return "runs_by_status" if wanted.app_id is None else "runs_by_app"


def _events_index(wanted: EventFilter) -> str:
    if wanted.after_ms is not None:
        return "INDEXED BY events_by_receipt"
    if wanted.name is not None:
        return "INDEXED BY events_by_name"
    return "" if wanted.include_internal else "INDEXED BY events_of_users"


def _given(*conditions: _Condition) -> list[_Condition]:
    return [condition for condition in conditions if condition[1] is not None]


def _all(conditions: Sequence[_Condition]) -> str:
    return " AND ".join(text for text, _ in conditions) or "TRUE"


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
