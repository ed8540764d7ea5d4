"""Rows of the tables -> model objects."""

from __future__ import annotations

from typing import Any

from stepwell.wire.encoding import decode
from stepwell_orchestrator import documents
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.pause import Pause, PauseKey
from stepwell_orchestrator.model.run import RunHeader

Row = tuple[Any, ...]


def read_event(row: Row) -> Event:
    """The event of a row of ``plain_events``."""
    return documents.read_event(*row)


def read_header(row: Row) -> RunHeader:
    """The header of a row of ``headers``."""
    run_id, app_id, function_id, event_name, event_ids, created, started, progress, outcome, *lease, origin = row
    wanted, term, lease_until_ms = lease
    return RunHeader(
        run_id=run_id,
        app_id=app_id,
        function_id=function_id,
        event_name=event_name,
        event_ids=tuple(decode(event_ids)),
        created_at_ms=created,
        started_at_ms=started,
        progress=documents.read_progress(progress),
        outcome=None if outcome is None else documents.read_outcome(outcome),
        wanted=wanted,
        term=term,
        lease_until_ms=lease_until_ms,
        **documents.read_origin(origin),
    )


def read_pause(row: Row) -> Pause:
    """The pause of a row of ``pauses``."""
    event_name, shape, index, run_id, pause_id, document = row
    return documents.read_pause(PauseKey(event_name, index, run_id, pause_id), shape, document)
