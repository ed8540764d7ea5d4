"""Queue items the engine sends. Each id names one occurrence, so that a repeat is recognised and nothing else is."""

from __future__ import annotations

from stepwell_orchestrator.model.decision import Send
from stepwell_orchestrator.model.queue_item import Cancel, Drive, Execute, QueueItem, Route, TimerDue


def start(run_id: str, due_at_ms: int) -> Send:
    """Drive a new run for the first time."""
    return Send(QueueItem(f"{run_id}:start", Drive(run_id, "started"), due_at_ms))


def retry(run_id: str, due_at_ms: int) -> Send:
    """Drive a run again after a failed discovery."""
    return Send(QueueItem(f"{run_id}:retry:{due_at_ms}", Drive(run_id, "retry"), due_at_ms))


def retry_again(run_id: str, due_at_ms: int, term: int) -> Send:
    """The same, from a driver that met the retry before its time: the first item may be about to leave the queue."""
    return Send(QueueItem(f"{run_id}:retry:{due_at_ms}:{term}", Drive(run_id, "retry"), due_at_ms))


def execute(run_id: str, step_id: str, attempt: int, due_at_ms: int) -> Send:
    """Execute a planned step."""
    return Send(QueueItem(f"{run_id}:{step_id}:{attempt}", Execute(run_id, step_id, attempt), due_at_ms))


def timer(run_id: str, step_id: str, due_at_ms: int) -> Send:
    """Wake a sleeping step."""
    return Send(QueueItem(f"{run_id}:{step_id}:due", TimerDue(run_id, step_id), due_at_ms))


def route(event_id: str, due_at_ms: int) -> Send:
    """Offer an event to what it may start."""
    return Send(QueueItem(f"{event_id}:route", Route(event_id), due_at_ms))


def cancel(run_id: str, now_ms: int) -> Send:
    """Cancel a run."""
    return Send(QueueItem(f"{run_id}:cancel", Cancel(run_id, now_ms), now_ms))
