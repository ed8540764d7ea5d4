"""A run's journal as one JSON document: what somebody needs to replay the run elsewhere. Pure."""

from __future__ import annotations

from typing import Any, Final

from stepwell.wire.times import format_instant
from stepwell_orchestrator.engine.journal.stack import stack_of
from stepwell_orchestrator.model.run import Outcome, Run
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.views.run_view import RUN_STATUS_NAMES, STEP_STATUS_NAMES, attempts, instant_text

JOURNAL_FORMAT: Final = "stepwell.journal"
JOURNAL_VERSION: Final = 1
"""Goes up when a document of the old shape can no longer be read as one of the new."""


def journal_body(run: Run, now_ms: int) -> dict[str, Any]:
    """The document.

    ``stack`` has the hashed ids of the finished steps in the order in which every replay is given their memos, and
    ``steps`` all steps, those in order first. A step has a ``memo``, raw as on the wire, once it has finished.
    """
    header, stack = run.header, stack_of(run)
    others = sorted(run.steps.keys() - set(stack), key=lambda step_id: (run.entries[step_id].queued_at_ms, step_id))
    return {
        "format": JOURNAL_FORMAT,
        "version": JOURNAL_VERSION,
        "exported_at": format_instant(now_ms),
        "run_id": header.run_id,
        "app_id": header.app_id,
        "function_id": header.function_id,
        "created_at": format_instant(header.created_at_ms),
        "status": RUN_STATUS_NAMES[header.status],
        "events": [event.wire() for event in run.events],
        "stack": list(stack),
        "steps": [_step(run.entries[step_id]) for step_id in (*stack, *others)],
        "outcome": None if header.outcome is None else _outcome(header.outcome),
    }


def _step(entry: StepEntry) -> dict[str, Any]:
    body = {
        "id": entry.step_id,
        "name": entry.name,
        "op": entry.op.value,
        "opts": dict(entry.opts),
        "status": STEP_STATUS_NAMES[entry.status],
        "attempts": attempts(entry),
        "queued_at": format_instant(entry.queued_at_ms),
        "ended_at": instant_text(entry.ended_at_ms),
        "error": entry.error,
    }
    return {**body, "memo": entry.memo} if entry.memoised else body


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": RUN_STATUS_NAMES[outcome.status],
        "ended_at": format_instant(outcome.ended_at_ms),
        "output": outcome.output,
        "error": None if outcome.error is None else dict(outcome.error),
    }
