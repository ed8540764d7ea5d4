"""How a run ends, and what its end tells the world (protocol 3.7, 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stepwell.wire.errors import ErrorBody
from stepwell.wire.ids import derived_ulid
from stepwell.wire.reply import Failed
from stepwell_orchestrator.model.decision import Command, Emit
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Outcome, Run, RunStatus

FINISHED_EVENT: Final = "inngest/function.finished"
FAILED_EVENT: Final = "inngest/function.failed"
CANCELLED_EVENT: Final = "inngest/function.cancelled"

_SILENT_TRIGGERS = frozenset({FINISHED_EVENT, FAILED_EVENT})
_EVENTS_BY_STATUS: Mapping[RunStatus, tuple[str, ...]] = {
    RunStatus.COMPLETED: (FINISHED_EVENT,),
    RunStatus.FAILED: (FINISHED_EVENT, FAILED_EVENT),
    RunStatus.CANCELLED: (FINISHED_EVENT, CANCELLED_EVENT),
}


def completed(result: Any, now_ms: int) -> Outcome:
    """The function returned."""
    return Outcome(RunStatus.COMPLETED, now_ms, output=result)


def failed(failure: Failed, now_ms: int) -> Outcome:
    """The function failed for good; the output keeps the error body as it came."""
    return Outcome(RunStatus.FAILED, now_ms, output=failure.output, error=_error(failure.error))


def cancelled(now_ms: int) -> Outcome:
    """Somebody cancelled the run."""
    return Outcome(RunStatus.CANCELLED, now_ms)


def closing_commands(run: Run) -> tuple[Command, ...]:
    """The lifecycle events of an ended run.

    Their ids are derived from the run, so that closing twice tells once. Runs that were themselves triggered by a
    finished or failed event stay silent: the loop guard.
    """
    outcome = run.header.outcome
    assert outcome is not None, f"run {run.header.run_id} has not ended"
    if run.header.event_name in _SILENT_TRIGGERS:
        return ()
    data = _lifecycle_data(run, outcome)
    return tuple(Emit(_lifecycle_event(run, name, data, outcome)) for name in _EVENTS_BY_STATUS[outcome.status])


def _lifecycle_event(run: Run, name: str, data: Mapping[str, Any], outcome: Outcome) -> Event:
    internal_id = derived_ulid(outcome.ended_at_ms, run.header.run_id, name)
    return Event(
        internal_id=internal_id,
        name=name,
        id=internal_id if name == FINISHED_EVENT else run.header.run_id,
        ts_ms=outcome.ended_at_ms,
        received_at_ms=outcome.ended_at_ms,
        data=data,
    )


def _lifecycle_data(run: Run, outcome: Outcome) -> dict[str, Any]:
    events = [event.wire() for event in run.events]
    data: dict[str, Any] = {
        "function_id": run.header.function_id,
        "run_id": run.header.run_id,
        "event": events[0] if events else {},
        "events": events,
        "_inngest": {"status": outcome.status.value.title()},
    }
    if outcome.status is RunStatus.COMPLETED:
        data["result"] = outcome.output
    if outcome.error is not None:
        data["error"] = dict(outcome.error)
    return data


def _error(error: ErrorBody) -> dict[str, Any]:
    body = {key: value for key, value in error.memo().items() if key in ("name", "message", "stack", "cause")}
    return {"error": f"{error.name}: {error.message}", **body}
