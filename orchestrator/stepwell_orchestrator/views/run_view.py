"""Runs and events as people and REST clients see them (protocol 6.13, 6.14, 7.2). Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, assert_never

from stepwell.wire.memo import Failure, Input, Value, decode_memo
from stepwell.wire.times import format_instant
from stepwell_orchestrator.engine.journal.stack import stack_of
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Run, RunHeader, RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus

RUN_STATUS_NAMES: Final[Mapping[RunStatus, str]] = {
    RunStatus.QUEUED: "Scheduled",
    RunStatus.RUNNING: "Running",
    RunStatus.COMPLETED: "Completed",
    RunStatus.FAILED: "Failed",
    RunStatus.CANCELLED: "Cancelled",
}
STEP_STATUS_NAMES: Final[Mapping[StepStatus, str]] = {
    StepStatus.PLANNED: "Queued",
    StepStatus.RUNNING: "Running",
    StepStatus.ERRORED: "Errored",
    StepStatus.SLEEPING: "Sleeping",
    StepStatus.WAITING: "Waiting",
    StepStatus.COMPLETED: "Completed",
    StepStatus.FAILED: "Failed",
    StepStatus.TIMED_OUT: "TimedOut",
    StepStatus.DROPPED: "Cancelled",
}
_NIL_UUID: Final = "00000000-0000-0000-0000-000000000000"
assert RUN_STATUS_NAMES.keys() == set(RunStatus), "every run status has a name"
assert STEP_STATUS_NAMES.keys() == set(StepStatus), "every step status has a name"


def run_body(header: RunHeader) -> dict[str, Any]:
    """A run as REST shows it. ``output`` is the result, or the error body of a failed run.

    ``trouble`` says what keeps the engine itself from working on it, or has done so; ``warnings`` what its calls have
    told the function's author.
    """
    outcome = header.outcome
    return {
        "run_id": header.run_id,
        "run_started_at": format_instant(header.created_at_ms),
        "function_id": header.function_id,
        "function_version": 0,
        "app_id": header.app_id,
        "environment_id": _NIL_UUID,
        "event_id": header.event_ids[0] if header.event_ids else None,
        "event_name": header.event_name,
        "batch_id": None,
        "original_run_id": header.original_run_id,
        "cron": header.cron,
        "status": RUN_STATUS_NAMES[header.status],
        "queued_at": format_instant(header.created_at_ms),
        "started_at": instant_text(header.started_at_ms),
        "ended_at": None if outcome is None else format_instant(outcome.ended_at_ms),
        "output": None if outcome is None else outcome.output,
        "trouble": header.trouble if outcome is None else None,
        "warnings": list(header.warnings),
    }


def event_body(event: Event) -> dict[str, Any]:
    """An event as REST shows it."""
    return {
        "internal_id": event.internal_id,
        "account_id": _NIL_UUID,
        "environment_id": _NIL_UUID,
        "source": "",
        "source_id": None,
        "received_at": format_instant(event.received_at_ms),
        **event.wire(),
        "v": event.v,
    }


def trace_rows(run: Run) -> list[dict[str, Any]]:
    """The steps of a run, a row each, in order."""
    over = run.header.outcome is not None
    return [_row(entry, over=over) for entry in steps_in_order(run)]


def steps_in_order(run: Run) -> list[StepEntry]:
    """The steps of a run in the order they were first reported.

    Of those reported in one millisecond, the ones that started earlier come first, then those that finished earlier.
    What a rerun found done never started in it, and comes before what did.
    """
    finished = {step_id: position for position, step_id in enumerate(stack_of(run))}

    def order(entry: StepEntry) -> tuple[int, float, float, str]:
        unstarted = -math.inf if entry.memoised else math.inf
        started_at_ms = unstarted if entry.started_at_ms is None else entry.started_at_ms
        return entry.queued_at_ms, started_at_ms, finished.get(entry.step_id, math.inf), entry.name

    return sorted(run.entries.values(), key=order)


def _row(entry: StepEntry, *, over: bool) -> dict[str, Any]:
    output, error = step_result(entry)
    return {
        "id": entry.step_id,
        "name": entry.name,
        "op": entry.op.value,
        "status": STEP_STATUS_NAMES[shown_status(entry, over=over)],
        "attempts": attempts(entry),
        "queued_at": format_instant(entry.queued_at_ms),
        "started_at": instant_text(entry.started_at_ms),
        "ended_at": instant_text(entry.ended_at_ms),
        "output": output,
        "error": error,
    }


def shown_status(entry: StepEntry, *, over: bool) -> StepStatus:
    """A step's status for people: one that has only been given arguments has not failed, it waits for its turn.

    What was still to come when its run ended (``over``) was cancelled by that; no write says so.
    """
    if over and entry.pending:
        return StepStatus.DROPPED
    untried = entry.arguments is not None and entry.status is StepStatus.ERRORED and entry.failed_attempts == 0
    return StepStatus.PLANNED if untried else entry.status


def attempts(entry: StepEntry) -> int:
    """How often the step was tried, the attempt under way included."""
    match entry.status:
        case StepStatus.PLANNED | StepStatus.ERRORED | StepStatus.DROPPED:
            return entry.failed_attempts
        case _:
            return entry.failed_attempts + 1


def step_result(entry: StepEntry) -> tuple[Any, Mapping[str, Any] | None]:
    """Output and error; the error of a step that is tried again is that of its last attempt."""
    if not entry.memoised:
        return None, entry.error
    memo = decode_memo(entry.memo)
    match memo:
        case Value(value):
            return value, None
        case Failure(error):
            return None, error.memo()
        case Input():
            return None, None
        case _:
            assert_never(memo)


def instant_text(at_ms: int | None) -> str | None:
    """Returns the instant as the API spells it, or None when it has not come."""
    return None if at_ms is None else format_instant(at_ms)
