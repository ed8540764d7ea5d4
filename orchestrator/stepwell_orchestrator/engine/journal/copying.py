"""What a rerun that begins at a step finds in its journal: the steps before it, done, and the step's new arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from stepwell.wire.encoding import encode
from stepwell_orchestrator.engine.journal.stack import stack_of
from stepwell_orchestrator.model.queue_item import FromStep
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import Place, StepEntry, StepStatus

_COPIED_TERM: Final = 0
"""Terms of drivers count from 1: what was copied comes before everything that the rerun does."""


def copied_entries(original: Run, start: FromStep, now_ms: int) -> list[StepEntry]:
    """The entries a rerun begins with, in the original's order. Deciding it again decides the same."""
    kept = stack_of(original)[: start.kept]
    entries = [
        _copied(original.entries[step_id], Place(_COPIED_TERM, position), now_ms)
        for position, step_id in enumerate(kept)
    ]
    return entries if start.arguments is None else [*entries, _coming(original, start.step_id, start.arguments, now_ms)]


def _copied(entry: StepEntry, place: Place, now_ms: int) -> StepEntry:
    """The step did not run in this run: it has no start."""
    return replace(
        entry, queued_at_ms=now_ms, started_at_ms=None, ended_at_ms=now_ms, place=place, warnings=(), left=()
    )


def _coming(original: Run, step_id: str, arguments: Sequence[object], now_ms: int) -> StepEntry:
    """An entry that waits for the next discovery to run or plan the step, as after a failed attempt in place."""
    known = original.entries[step_id]
    return StepEntry(
        step_id=step_id,
        name=known.name,
        op=known.op,
        status=StepStatus.ERRORED,
        queued_at_ms=now_ms,
        arguments=tuple(arguments),
        size_bytes=len(encode(arguments)),
    )
