"""What became of a run while a call was in flight: steps the call saved, and steps that others did.

Others are rare. A driver that died or gave up leaves a call behind that goes on, and saves what it executes; the call
that took its place executes the same. Every call only saves a step when all it did before is in the journal as it saw
it, so what is journaled is of one execution. A reply may be of another one: then it is void.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import Failed, Finished, Instructions, Reply
from stepwell_orchestrator.engine.journal.call_reference import CallReference
from stepwell_orchestrator.engine.journal.memos import memo_of, same
from stepwell_orchestrator.model.run import Run

_ENDS: Final = frozenset({Op.STEP, Op.STEP_RUN, Op.STEP_FAILED})


@dataclass(frozen=True, slots=True)
class ChangesDuringCall:
    """The steps memoised since a call began, by their hashed ids: its ``own``, and those of ``others``."""

    own: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


NO_CHANGES: Final = ChangesDuringCall()


def changes_during(sent: Run, run: Run, reference: CallReference) -> ChangesDuringCall:
    """What was memoised between ``sent``, of which the call was made, and ``run``, the journal at its reply."""
    known = {entry.step_id for entry in sent.entries.values() if entry.memoised}
    new = [entry for entry in run.entries.values() if entry.memoised and entry.step_id not in known]
    own = frozenset(entry.step_id for entry in new if reference.has(entry.place))
    return ChangesDuringCall(own, frozenset(entry.step_id for entry in new) - own)


def stands_alone(reply: Reply) -> bool:
    """Whether the reply only adds one finished step, as to a call that saves nothing itself.

    It can be applied to the run as it was: a guard refuses it when the step was finished meanwhile.
    """
    outcome = reply.outcome
    return (
        isinstance(outcome, Instructions)
        and len(outcome.opcodes) == 1
        and outcome.opcodes[0].op in (Op.STEP, Op.STEP_RUN)
    )


def is_void(run: Run, changes: ChangesDuringCall, reply: Reply) -> bool:
    """Whether a reply must not count, because the function may have seen another result of a step than is journaled.

    Opcodes count unless they contradict what others saved. A function's end does not count at all then: a failure may
    only say that a checkpoint was refused, and a call that returned or failed can be made again at no cost.
    """
    match reply.outcome:
        case Finished() | Failed():
            return bool(changes.others)
        case Instructions(opcodes):
            return any(opcode.id in changes.others and _contradicts(run, opcode) for opcode in opcodes)
        case _:
            assert_never(reply.outcome)


def _contradicts(run: Run, opcode: Opcode) -> bool:
    if opcode.op is Op.STEP_ERROR:
        return True
    return opcode.op in _ENDS and not same(memo_of(opcode), run.entries[opcode.id].memo)
