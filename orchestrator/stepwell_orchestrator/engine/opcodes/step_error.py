"""``StepError`` and ``StepFailed``: a step body raised (protocol 5.8)."""

from __future__ import annotations

from dataclasses import replace

from stepwell.wire.errors import ErrorBody
from stepwell.wire.memo import failure_memo
from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, entry_of, finished, letting_go, put
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.step import StepStatus


def step_error(situation: Situation, opcode: Opcode, offset: int, *, no_retry: bool, asked_at_ms: int | None) -> Change:
    """Try the step again later, or memoise its error when it must not be, or cannot be, tried again."""
    known = situation.run.entries.get(opcode.id)
    if known is not None and known.memoised:
        return NOTHING
    error = opcode.error
    assert error is not None, "the codec refuses a step error without an error"
    final = opcode.op is Op.STEP_FAILED or situation.last_attempt(no_retry=no_retry or error.no_retry)
    if final:
        entry = finished(situation, opcode, failure_memo(error), failed=True, offset=offset)
        final_put = put(situation, replace(entry, attempt=max(entry.first_attempt + situation.attempt, entry.attempt)))
        return Change(put=final_put, commands=letting_go(situation, opcode), discover=True)
    return _again(situation, opcode, error, situation.retry_at_ms(asked_at_ms))


def _again(situation: Situation, opcode: Opcode, error: ErrorBody, retry_at_ms: int) -> Change:
    entry = entry_of(situation, opcode, StepStatus.ERRORED)
    attempt = max(entry.first_attempt + situation.attempt + 1, entry.attempt)
    errored = replace(
        entry,
        started_at_ms=entry.started_at_ms or situation.called_at_ms,
        attempt=attempt,
        due_at_ms=retry_at_ms,
        claim_until_ms=None,
        claimed_at_ms=None,
        error=error.memo(),
    )
    if situation.target is None:
        return Change(put=put(situation, errored), commands=letting_go(situation, opcode), retry_at_ms=retry_at_ms)
    command = items.execute(situation.run.header, opcode.id, attempt, retry_at_ms)
    return Change(put=put(situation, errored), commands=(*letting_go(situation, opcode), command))
