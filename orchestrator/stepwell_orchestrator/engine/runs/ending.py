"""How a run ends, and what its end tells the world (protocol 3.7, 6.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepwell.wire.ids import derived_ulid
from stepwell.wire.reply import Failed
from stepwell_orchestrator.engine.runs import children, deferred
from stepwell_orchestrator.engine.runs.route import invoked
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.engine.waits.waiting import give_up
from stepwell_orchestrator.model.decision import Command, Emit, LeaveGates, Unwatch
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.queue_item import ChildEnded
from stepwell_orchestrator.model.run import Outcome, Run, RunStatus
from stepwell_orchestrator.model.step import StepStatus

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
    return Outcome(RunStatus.FAILED, now_ms, output=failure.output, error=_error(failure))


def cancelled(now_ms: int) -> Outcome:
    """Somebody cancelled the run."""
    return Outcome(RunStatus.CANCELLED, now_ms)


def closing_commands(run: Run) -> tuple[Command, ...]:
    """Everything that follows the end of a run: its events, the answer to its invoker, what it deferred, what it held.

    A cancelled run takes the runs along that it waits for, where its invocations say so.

    Repeating them changes nothing.
    """
    outcome = run.header.outcome
    assert outcome is not None, f"run {run.header.run_id} has not ended"
    return (
        *_leave_gates(run),
        *_lifecycle(run, outcome),
        *_answer(run, outcome),
        *deferred.schedules(run, outcome),
        *_give_up(run),
        *children.cancellations(run, outcome),
    )


def _leave_gates(run: Run) -> Iterator[Command]:
    header = run.header
    if header.limited:
        yield LeaveGates(header.run_id, header.function_id, header.flow)


def _lifecycle(run: Run, outcome: Outcome) -> tuple[Command, ...]:
    """The lifecycle events, with ids derived from the run.

    Runs that were themselves triggered by a finished or failed event stay silent: the loop guard. Of a batch it is
    enough that one of its events is such a one.
    """
    if not _SILENT_TRIGGERS.isdisjoint((run.header.event_name, *(event.name for event in run.events))):
        return ()
    data = _lifecycle_data(run, outcome)
    return tuple(Emit(_lifecycle_event(run, name, data, outcome)) for name in _EVENTS_BY_STATUS[outcome.status])


def _answer(run: Run, outcome: Outcome) -> tuple[Command, ...]:
    """The end of the waits of those who invoked it: of a batch, everybody whose invocation is in it."""
    first = run.header.invoked_by
    if first is None:
        return ()
    others = (invocation[1] for event in run.events if (invocation := invoked(event)) is not None)
    invokers = dict.fromkeys((first, *(invoker for invoker in others if invoker is not None)))
    ended = ChildEnded(run.header.run_id)
    return tuple(items.settle(*invoker, ended, outcome.ended_at_ms) for invoker in invokers)


def _give_up(run: Run) -> Iterator[Command]:
    """The pauses of cancellations, and of waits that lost a race, are taken out of the file."""
    if run.header.cancellations:
        yield Unwatch(run.header.cancellations)
    for entry in run.entries.values():
        if entry.status is StepStatus.WAITING:
            yield from give_up(run.header.run_id, entry)


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
    if run.header.invoked_by is not None:
        data["correlation_id"] = ".".join(run.header.invoked_by)
    return data


def _error(failure: Failed) -> dict[str, Any]:
    error = failure.error
    body = {key: value for key, value in error.memo().items() if key in ("name", "message", "stack", "cause")}
    return {"error": _summary(failure), **body}


def _summary(failure: Failed) -> str:
    """What is said of a failed reply without its body (protocol 3.7); of what failed on our side, the error itself."""
    if failure.status is None:
        return f"{failure.error.name}: {failure.error.message}"
    return "NonRetriableError" if failure.no_retry else f"invalid status code: {failure.status}"
