"""``StepRun`` and the legacy ``Step``: a step body ran and returned."""

from __future__ import annotations

from stepwell.wire.opcodes import Opcode
from stepwell_orchestrator.engine.journal.memos import memo_of
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, finished, letting_go, put


def step_run(situation: Situation, opcode: Opcode, offset: int) -> Change:
    """Memoise the result. A step that is memoised already keeps its first result."""
    known = situation.run.entries.get(opcode.id)
    if known is not None and known.memoised:
        return NOTHING
    entry = finished(situation, opcode, memo_of(opcode), failed=False, offset=offset)
    return Change(put=put(situation, entry), commands=letting_go(situation, opcode), discover=True)
