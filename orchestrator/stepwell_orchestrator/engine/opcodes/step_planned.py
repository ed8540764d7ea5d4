"""``StepPlanned``: a runnable step was found and gets a call of its own."""

from __future__ import annotations

from dataclasses import replace

from stepwell.wire.opcodes import Opcode
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, entry_of, letting_go, put, stands
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.step import StepStatus


def step_planned(situation: Situation, opcode: Opcode) -> Change:
    """Queue the step's execution; planning a step again changes nothing (protocol 5.6)."""
    if stands(situation, opcode):
        return NOTHING
    entry = replace(entry_of(situation, opcode, StepStatus.PLANNED), op=opcode.op, planned=True, due_at_ms=None)
    command = items.execute(situation.run.header, entry.step_id, entry.attempt, situation.now_ms)
    return Change(put=put(situation, entry), commands=(*letting_go(situation, opcode), command))
