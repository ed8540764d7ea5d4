"""What kinds of step there are. A new one is added here first: types and tests then name every place to follow."""

from __future__ import annotations

from enum import Enum
from typing import assert_never

from stepwell.wire.opcodes import Op


class StepKind(Enum):
    """What a step does, whatever became of it."""

    RUN = "run"
    """It runs a body of the function."""
    SLEEP = "sleep"
    WAIT_FOR_EVENT = "wait for event"
    WAIT_FOR_SIGNAL = "wait for signal"
    INVOKE = "invoke"
    INFER = "infer"
    """The engine asks a model."""
    FETCH = "fetch"
    """The engine makes an HTTP request."""

    @property
    def idle(self) -> bool:
        """Whether nothing runs for the step while its time passes."""
        match self:
            case StepKind.SLEEP | StepKind.WAIT_FOR_EVENT | StepKind.WAIT_FOR_SIGNAL | StepKind.INVOKE:
                return True
            case StepKind.RUN | StepKind.INFER | StepKind.FETCH:
                return False
            case _:
                assert_never(self)


def kind_of(op: Op) -> StepKind:
    """The kind of a step that was reported with an opcode. Raises ValueError for one that reports no step."""
    match op:
        case Op.STEP | Op.STEP_RUN | Op.STEP_ERROR | Op.STEP_FAILED | Op.STEP_PLANNED:
            return StepKind.RUN
        case Op.SLEEP:
            return StepKind.SLEEP
        case Op.WAIT_FOR_EVENT:
            return StepKind.WAIT_FOR_EVENT
        case Op.WAIT_FOR_SIGNAL:
            return StepKind.WAIT_FOR_SIGNAL
        case Op.INVOKE_FUNCTION:
            return StepKind.INVOKE
        case Op.AI_GATEWAY:
            return StepKind.INFER
        case Op.GATEWAY:
            return StepKind.FETCH
        case Op.NONE | Op.RUN_COMPLETE | Op.SYNC_RUN_COMPLETE | Op.DISCOVERY_REQUEST | Op.DEFER_ADD | Op.DEFER_ABORT:
            raise ValueError(f"opcode {op.value} reports no step")
        case _:
            assert_never(op)
