"""Queue items the engine sends. Each id names one occurrence, so that a repeat is recognised and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, assert_never

from stepwell_orchestrator.model.decision import Send
from stepwell_orchestrator.model.queue_item import (
    Cancel,
    CancelMatching,
    Cause,
    ChildEnded,
    CloseBatch,
    Deadline,
    Drive,
    EventArrived,
    Execute,
    FireDebounce,
    QueueItem,
    Rerun,
    Route,
    Settle,
    SignalArrived,
    Start,
    TimerDue,
    WaitRefused,
)
from stepwell_orchestrator.model.run import RunHeader


def start(header: RunHeader, due_at_ms: int) -> Send:
    """Drive a new run for the first time, once it is let."""
    return Send(QueueItem(f"{header.run_id}:start", start_work(header), due_at_ms))


def start_work(header: RunHeader) -> Start:
    """Drive a run once it is let."""
    return Start(header.run_id) if header.limited else Start(header.run_id, header.function_id)


def rerun(work: Rerun) -> Send:
    """Run another run's function again on its events."""
    return Send(QueueItem(f"{work.run_id}:rerun", work, work.requested_at_ms))


def retry(run_id: str, due_at_ms: int) -> Send:
    """Drive a run again after a failed discovery."""
    return Send(QueueItem(f"{run_id}:retry:{due_at_ms}", Drive(run_id, "retry"), due_at_ms))


def retry_again(run_id: str, due_at_ms: int, term: int) -> Send:
    """The same, from a driver that met the retry before its time: the first item may be about to leave the queue."""
    return Send(QueueItem(f"{run_id}:retry:{due_at_ms}:{term}", Drive(run_id, "retry"), due_at_ms))


def hand_over(run_id: str, term: int, now_ms: int) -> Send:
    """Drive a run on from where a driver that has no time left leaves it."""
    return Send(QueueItem(f"{run_id}:over:{term}", Drive(run_id, "handed over"), now_ms))


def execute(header: RunHeader, step_id: str, attempt: int, due_at_ms: int) -> Send:
    """Execute a planned step."""
    work = Execute(header.run_id, step_id, attempt, header.limited, header.function_id)
    return Send(QueueItem(f"{header.run_id}:{step_id}:{attempt}", work, due_at_ms))


def execute_again(work: Execute, attempt: int, due_at_ms: int) -> Send:
    """Execute a later attempt of a step."""
    return Send(QueueItem(f"{work.run_id}:{work.step_id}:{attempt}", replace(work, attempt=attempt), due_at_ms))


def timer(run_id: str, step_id: str, due_at_ms: int) -> Send:
    """Wake a sleeping step."""
    return Send(QueueItem(f"{run_id}:{step_id}:due:{due_at_ms}", TimerDue(run_id, step_id), due_at_ms))


def route(event_id: str, due_at_ms: int) -> Send:
    """Offer an event to what it may start."""
    return Send(QueueItem(f"{event_id}:route", Route(event_id), due_at_ms))


def cancel(run_id: str, now_ms: int) -> Send:
    """Cancel a run."""
    return Send(QueueItem(f"{run_id}:cancel", Cancel(run_id, now_ms), now_ms))


def settle(run_id: str, step_id: str, cause: Cause, now_ms: int) -> Send:
    """End a step's wait."""
    return Send(QueueItem(f"{run_id}:{step_id}:{_occurrence(cause, now_ms)}", Settle(run_id, step_id, cause), now_ms))


def wait_ended(run_id: str, step_id: str, now_ms: int) -> Send:
    """Drive a run on, one of whose waits was ended from outside."""
    return Send(QueueItem(f"{run_id}:{step_id}:settled:{now_ms}", TimerDue(run_id, step_id), now_ms))


def deadline(run_id: str, kind: Literal["start", "finish"], limit_ms: int, due_at_ms: int) -> Send:
    """Look whether a run has started, or ended, in time."""
    return Send(QueueItem(f"{run_id}:deadline:{kind}", Deadline(run_id, kind, limit_ms), due_at_ms))


def fire_debounce(work: FireDebounce, due_at_ms: int) -> Send:
    """Look whether a debounce is due."""
    return Send(QueueItem(f"{work.gate}:debounce:{work.first_event_id}", work, due_at_ms))


def close_batch(work: CloseBatch) -> Send:
    """Run a batch, full or not."""
    return Send(QueueItem(f"{work.gate}:batch:{work.batch_id}", work, work.until_ms))


def cancel_matching(work: CancelMatching, now_ms: int) -> Send:
    """Cancel the next page of runs."""
    return Send(QueueItem(f"{work.cancellation_id}:{work.cursor or 'first'}", work, now_ms))


def _occurrence(cause: Cause, now_ms: int) -> str:
    match cause:
        case EventArrived(event_id):
            return f"event:{event_id}"
        case SignalArrived():
            return f"signal:{now_ms}"
        case ChildEnded(run_id):
            return f"child:{run_id}"
        case WaitRefused():
            return "refused"
        case _:
            assert_never(cause)
