"""What is stored of a step that ended (protocol 4.3)."""

from __future__ import annotations

from typing import Any

from stepwell.wire.encoding import encode
from stepwell.wire.memo import failure_memo, value_memo
from stepwell.wire.opcodes import Op, Opcode


def memo_of(opcode: Opcode) -> Any:
    """The memo of a step whose opcode says that it ended: Step, StepRun or StepFailed. Raises ValueError for others."""
    match opcode.op:
        case Op.STEP:
            return opcode.data
        case Op.STEP_FAILED:
            assert opcode.error is not None, "the codec refuses a step error without an error"
            return failure_memo(opcode.error)
        case Op.STEP_RUN:
            return value_memo(opcode.data)
        case _:
            raise ValueError(f"opcode {opcode.op.value} does not say that a step ended")


def same(one: Any, other: Any) -> bool:
    """Whether two memos are the same JSON; in Python, ``True`` and ``1`` would be equal."""
    return encode(one) == encode(other)
