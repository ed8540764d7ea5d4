"""A timer fired: the step it belongs to is settled."""

from __future__ import annotations

from dataclasses import replace

from stepwell_orchestrator.model.decision import Guard, PutEntry
from stepwell_orchestrator.model.step import StepEntry, StepStatus


def wake(entry: StepEntry, now_ms: int) -> PutEntry:
    """The memo of a sleep that is over: null (protocol 4.3)."""
    woken = replace(entry, status=StepStatus.COMPLETED, memo=None, ended_at_ms=now_ms, size_bytes=len(b"null"))
    return PutEntry(woken, Guard.NOT_MEMOISED)
