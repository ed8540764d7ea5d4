"""``Sleep``: the run goes on at a later time."""

from __future__ import annotations

from dataclasses import replace

from stepwell.wire.opcodes import Opcode
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, entry_of, letting_go, put, stands
from stepwell_orchestrator.engine.opcodes.expiry import expiry_ms
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.step import StepStatus


def sleep(situation: Situation, opcode: Opcode) -> Change:
    """Set the timer. The first report of a sleep fixes its end; a repeat changes nothing (protocol 6.5)."""
    if stands(situation, opcode):
        return NOTHING
    until_ms = expiry_ms(situation, opcode, opcode.opts.get("duration") or opcode.name, None)
    if isinstance(until_ms, Change):
        return until_ms
    entry = replace(
        entry_of(situation, opcode, StepStatus.SLEEPING), started_at_ms=situation.now_ms, due_at_ms=until_ms
    )
    timer = items.timer(situation.run_id, opcode.id, until_ms)
    return Change(put=put(situation, entry), commands=(*letting_go(situation, opcode), timer))
