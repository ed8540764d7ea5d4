"""When a run owes its function a discovery call."""

from __future__ import annotations

from stepwell.wire.headers import REQUEST_VERSION_CURRENT
from stepwell_orchestrator.engine.journal.stack import stack_of
from stepwell_orchestrator.model.decision import Decision, PutEntry
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepStatus


def has_pending(run: Run) -> bool:
    """Whether the function waits for steps that are planned, executing, sleeping or waiting (protocol 5.6).

    New steps must then be planned. What its last discovery did not report again, it does not wait for any more.
    """
    unreported = run.header.progress.unreported
    return any(entry.pending and entry.step_id not in unreported for entry in run.entries.values())


def owes_discovery(run: Run, now_ms: int) -> bool:
    """Whether the function should be called now.

    Not while a retry is backing off. Otherwise when nothing would end a step any more, a planned one being gone, for
    instance; and when steps were memoised since the last discovery and either the function waits for nothing else, or
    one of them may let it go on by itself (a race).
    """
    progress = run.header.progress
    if run.header.outcome is not None or (progress.retry_at_ms or 0) > now_ms:
        return False
    if progress.discovered is None or progress.attempt > 0:
        return True
    fresh = stack_of(run)[progress.discovered :]
    if not fresh:
        return not any(entry.pending for entry in run.entries.values())
    joined = progress.request_version >= REQUEST_VERSION_CURRENT
    return not joined or not has_pending(run) or any(run.entries[step_id].race for step_id in fresh)


def retries(decision: Decision, step_id: str) -> bool:
    """Whether a decision only puts a planned step off to its next attempt: the function cannot go on by that."""
    return any(
        isinstance(write, PutEntry) and write.entry.step_id == step_id and write.entry.status is StepStatus.ERRORED
        for write in decision.writes
    )
