"""A checkpoint as journal entries: what the driver would have written, had the steps come with a reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.headers import REQUEST_VERSION_CURRENT
from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.engine.journal.call_reference import CALL_SPAN, REPLY_SPAN, CallReference
from stepwell_orchestrator.engine.journal.memos import memo_of
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import finished, put
from stepwell_orchestrator.engine.opcodes.defer import deferrals
from stepwell_orchestrator.model.decision import PutEntry
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.model.step import StepEntry

_ELAPSED_MAX_US: Final = CALL_SPAN - 2 * REPLY_SPAN
"""How far into a call a step may claim to have begun: room is left for those that come after it."""
_SAVED: Final = frozenset({Op.STEP, Op.STEP_RUN})


def puts_of(
    checkpoint: Checkpoint,
    reference: CallReference,
    header: RunHeader,
    known: Mapping[str, StepEntry],
    *,
    offset: int,
    now_ms: int,
) -> list[PutEntry]:
    """The guarded writes of the steps that are saved, in order, then of what is deferred; announced steps leave none.

    ``known`` are the entries that those steps are known to have, and what is aborted. The places follow the SDK's own
    clock, whatever it shows: the first step comes no earlier than ``offset`` in the call's span, each other one after
    the one before. Steps that follow each other need no better order. Raises WireError for what cannot be deferred.
    """
    situation = _situation(checkpoint, header, known, now_ms)
    puts: list[PutEntry] = []
    for opcode in checkpoint.steps:
        if opcode.op not in _SAVED:
            continue
        entry = finished(situation, opcode, memo_of(opcode), failed=False, offset=0)
        offset = max(offset, _elapsed_us(checkpoint, opcode))
        entry = replace(entry, place=reference.place(offset), ended_at_ms=_ended_at_ms(entry, opcode, now_ms))
        puts.append(put(situation, entry))
        offset += 1
    return [*puts, *deferrals(situation, checkpoint.steps)]


def _situation(checkpoint: Checkpoint, header: RunHeader, known: Mapping[str, StepEntry], now_ms: int) -> Situation:
    """As if the call had just been answered, by an SDK that joins parallel steps."""
    progress = replace(header.progress, request_version=REQUEST_VERSION_CURRENT)
    return Situation(
        run=Run(replace(header, progress=progress), (), known),
        target=None,
        max_attempts=1,
        called_at_ms=min(checkpoint.request_started_at_ms, now_ms),
        now_ms=now_ms,
    )


def _elapsed_us(checkpoint: Checkpoint, opcode: Opcode) -> int:
    started_us = checkpoint.ts_ms * 1_000 if opcode.started_ns is None else opcode.started_ns // 1_000
    return min(started_us - checkpoint.request_started_at_ms * 1_000, _ELAPSED_MAX_US)


def _ended_at_ms(entry: StepEntry, opcode: Opcode, now_ms: int) -> int:
    if entry.started_at_ms is None or opcode.duration_ns is None:
        return now_ms
    return min(entry.started_at_ms + max(opcode.duration_ns, 0) // 1_000_000, now_ms)
