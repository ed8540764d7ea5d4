"""An asynchronous checkpoint: steps saved while the call that executed them goes on (protocol 9.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stepwell.errors import WireError
from stepwell.wire.lenient import text_or_empty, whole_or
from stepwell.wire.opcodes import Op, Opcode, decode_opcodes

CHECKPOINTED_OPS: Final = frozenset({Op.STEP, Op.STEP_RUN, Op.STEP_PLANNED, Op.DEFER_ADD, Op.DEFER_ABORT})
"""What may be in one. StepPlanned only announces a step that begins."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Steps of one run, with what the call request said of itself; times are epoch milliseconds."""

    run_id: str
    fn_id: str
    qi_id: str
    request_id: str
    generation_id: int
    request_started_at_ms: int
    ts_ms: int
    steps: tuple[Opcode, ...]

    def encode(self) -> dict[str, Any]:
        """The wire object."""
        return {
            "run_id": self.run_id,
            "fn_id": self.fn_id,
            "qi_id": self.qi_id,
            "request_id": self.request_id,
            "generation_id": self.generation_id,
            "request_started_at": self.request_started_at_ms,
            "ts": self.ts_ms,
            "steps": [step.encode() for step in self.steps],
        }


def decode_checkpoint(raw: Any, run_id: str) -> Checkpoint:
    """A checkpoint of ``run_id`` from its JSON value. Raises WireError naming what is wrong."""
    if not isinstance(raw, Mapping):
        raise WireError("a checkpoint must be an object")
    named = raw.get("run_id")
    if named is not None and named != run_id:
        raise WireError(f"the checkpoint is of run {named}, but was sent to run {run_id}")
    steps = raw.get("steps")
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        raise WireError("a checkpoint must have a list of steps")
    opcodes = decode_opcodes(steps)
    refused = next((opcode for opcode in opcodes if opcode.op not in CHECKPOINTED_OPS), None)
    if refused is not None:
        raise WireError(f"cannot checkpoint opcode: {refused.op.value}")
    return Checkpoint(
        run_id=run_id,
        fn_id=text_or_empty(raw.get("fn_id")),
        qi_id=text_or_empty(raw.get("qi_id")),
        request_id=text_or_empty(raw.get("request_id")),
        generation_id=whole_or(raw.get("generation_id"), 0),
        request_started_at_ms=whole_or(raw.get("request_started_at"), 0),
        ts_ms=whole_or(raw.get("ts"), 0),
        steps=opcodes,
    )
