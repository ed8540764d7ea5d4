"""Functions that a run defers: recorded while it goes on, started by an event of their own when it ends.

They are entries of the run's journal, apart from its steps: an SDK may give a step and a deferred function one id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from stepwell.wire.ids import derived_ulid
from stepwell_orchestrator.model.decision import Command, Emit
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Outcome, Run, RunHeader
from stepwell_orchestrator.model.step import StepEntry, StepStatus

DEFERRED_EVENT: Final = "inngest/deferred.schedule"

_PREFIX: Final = "defer:"


def entry_id(hashed_id: str) -> str:
    """Under which id the journal has the function that was deferred as ``hashed_id``."""
    return _PREFIX + hashed_id


def abortable_by_id(run: Run) -> dict[str, bool]:
    """What a call is told: the hashed ids of what the run deferred, and whether each can still be aborted."""
    entries = [entry for entry in run.entries.values() if not entry.is_step]
    return {entry.step_id.removeprefix(_PREFIX): entry.status is StepStatus.DEFERRED for entry in entries}


def schedules(run: Run, outcome: Outcome) -> Iterator[Command]:
    """The events that start what a run deferred and did not abort, now that it has ended. Each exists once."""
    for entry in run.entries.values():
        if entry.status is StepStatus.DEFERRED:
            yield Emit(_event(run.header, entry, outcome))


def _event(header: RunHeader, entry: StepEntry, outcome: Outcome) -> Event:
    """The event; its id follows from run and entry, however often the end is told."""
    internal_id = derived_ulid(outcome.ended_at_ms, header.run_id, entry.step_id, DEFERRED_EVENT)
    internal: dict[str, Any] = {
        "fn_slug": entry.opts["fn_slug"],
        "parent_app_id": header.app_id,
        "parent_fn_id": header.function_id,
        "parent_fn_slug": header.function_id,
        "parent_run_id": header.run_id,
    }
    return Event(
        internal_id=internal_id,
        name=DEFERRED_EVENT,
        id=internal_id,
        ts_ms=outcome.ended_at_ms,
        received_at_ms=outcome.ended_at_ms,
        data={**entry.opts["input"], "_inngest": internal},
        meta=entry.opts.get("meta"),
    )
