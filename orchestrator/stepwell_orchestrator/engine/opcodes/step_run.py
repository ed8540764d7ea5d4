"""``StepRun`` and the legacy ``Step``: a step body ran and returned."""

from __future__ import annotations

from stepwell.wire.memo import value_memo
from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, finished, put
from stepwell_orchestrator.engine.situation import Situation


def step_run(situation: Situation, opcode: Opcode, offset: int) -> Change:
    """Memoise the result. A step that is memoised already keeps its first result."""
    known = situation.run.entries.get(opcode.id)
    if known is not None and known.memoised:
        return NOTHING
    memo = opcode.data if opcode.op is Op.STEP else value_memo(opcode.data)
    entry = finished(situation, opcode, memo, failed=False, offset=offset)
    return Change(put=put(situation, entry), discover=True)
