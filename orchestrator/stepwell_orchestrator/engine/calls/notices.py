"""What a committed decision has to tell whoever watches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from stepwell_orchestrator.model.decision import Decision, EndRun, PutEntry, PutProgress
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import Outcome, RunHeader, RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus

_KIND_BY_STEP_STATUS = {
    StepStatus.PLANNED: NoticeKind.STEP_PLANNED,
    StepStatus.ERRORED: NoticeKind.STEP_RETRYING,
    StepStatus.SLEEPING: NoticeKind.STEP_SLEEPING,
    StepStatus.WAITING: NoticeKind.STEP_WAITING,
    StepStatus.COMPLETED: NoticeKind.STEP_COMPLETED,
    StepStatus.FAILED: NoticeKind.STEP_FAILED,
    StepStatus.TIMED_OUT: NoticeKind.STEP_TIMED_OUT,
}
_KIND_BY_RUN_STATUS = {
    RunStatus.COMPLETED: NoticeKind.RUN_COMPLETED,
    RunStatus.FAILED: NoticeKind.RUN_FAILED,
    RunStatus.CANCELLED: NoticeKind.RUN_CANCELLED,
}


def notices(header: RunHeader, decision: Decision, now_ms: int) -> Iterator[Notice]:
    """The notices of a decision made for the run of ``header``."""
    for text in decision.warnings:
        yield warning_notice(header, text, now_ms)
    step_retries = any(isinstance(write, PutEntry) and write.entry.due_at_ms for write in decision.writes)
    for write in decision.writes:
        match write:
            case PutEntry(entry):
                kind = step_kind(entry)
                if kind is not None:
                    yield step_notice(header, entry, kind, now_ms)
            case EndRun(outcome):
                yield end_notice(header, outcome)
            case PutProgress(progress):
                if progress.retry_at_ms is not None and not step_retries:
                    yield Notice(
                        at_ms=now_ms,
                        kind=NoticeKind.FUNCTION_RETRYING,
                        run_id=header.run_id,
                        function_id=header.function_id,
                        attempt=progress.attempt - 1,
                        due_at_ms=progress.retry_at_ms,
                        detail=decision.why,
                    )
            case _:
                assert_never(write)


def warning_notice(header: RunHeader, text: str, now_ms: int) -> Notice:
    """A call of the run said something to its author for the first time."""
    return Notice(now_ms, NoticeKind.WARNED, header.run_id, header.function_id, detail=text)


def created_notice(header: RunHeader, now_ms: int) -> Notice:
    """A run was created."""
    return Notice(
        at_ms=now_ms,
        kind=NoticeKind.RUN_CREATED,
        run_id=header.run_id,
        function_id=header.function_id,
        subject=header.event_name,
    )


def event_notice(event: Event, function_id: str, waits_for: str, until_ms: int, now_ms: int) -> Notice:
    """An event was taken in by a debounce or a batch of a function, which says what it waits for."""
    return Notice(
        now_ms,
        NoticeKind.EVENT_WAITING,
        function_id=function_id,
        subject=event.name,
        detail=waits_for,
        due_at_ms=until_ms,
    )


def step_kind(entry: StepEntry) -> NoticeKind | None:
    """Returns what there is to tell of a step that was written like this, or None where there is nothing."""
    return _KIND_BY_STEP_STATUS.get(entry.status)


def step_notice(header: RunHeader, entry: StepEntry, kind: NoticeKind, now_ms: int) -> Notice:
    """What happened to a step."""
    started = entry.started_at_ms
    failed_before = kind is NoticeKind.STEP_RETRYING
    return Notice(
        at_ms=now_ms,
        kind=kind,
        run_id=header.run_id,
        function_id=header.function_id,
        subject=entry.name,
        op=entry.op,
        attempt=entry.failed_attempts - 1 if failed_before else entry.failed_attempts,
        duration_ms=None if started is None or entry.ended_at_ms is None else entry.ended_at_ms - started,
        due_at_ms=entry.due_at_ms,
        detail=_why(entry),
    )


def end_notice(header: RunHeader, outcome: Outcome) -> Notice:
    """How a run ended."""
    error = outcome.error or {}
    started = header.started_at_ms if header.started_at_ms is not None else outcome.ended_at_ms
    return Notice(
        at_ms=outcome.ended_at_ms,
        kind=_KIND_BY_RUN_STATUS[outcome.status],
        run_id=header.run_id,
        function_id=header.function_id,
        duration_ms=outcome.ended_at_ms - started,
        detail=str(error.get("error", "")),
    )


def _why(entry: StepEntry) -> str:
    error = (
        entry.memo.get("error") if entry.status is StepStatus.FAILED and isinstance(entry.memo, dict) else entry.error
    )
    if entry.status not in (StepStatus.FAILED, StepStatus.ERRORED) or not error:
        return ""
    return f"{error.get('name', 'Error')}: {error.get('message', '')}"
