"""The words that GraphQL and REST v2 use for states and kinds (protocol 6.13, 7.3, 7.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.views.run_view import shown_status

RUN_WORDS: Final[Mapping[RunStatus, str]] = {status: status.value.upper() for status in RunStatus}
RUN_STATUS_BY_WORD: Final = {word: status for status, word in RUN_WORDS.items()}

_SPAN_WORDS: Final[Mapping[StepStatus, str]] = {
    StepStatus.PLANNED: "QUEUED",
    StepStatus.RUNNING: "RUNNING",
    StepStatus.ERRORED: "RUNNING",
    StepStatus.SLEEPING: "WAITING",
    StepStatus.WAITING: "WAITING",
    StepStatus.COMPLETED: "COMPLETED",
    StepStatus.FAILED: "FAILED",
    StepStatus.TIMED_OUT: "COMPLETED",
    StepStatus.DROPPED: "CANCELLED",
}
_OP_WORDS: Final[Mapping[Op, str]] = {
    Op.SLEEP: "SLEEP",
    Op.WAIT_FOR_EVENT: "WAIT_FOR_EVENT",
    Op.WAIT_FOR_SIGNAL: "WAIT_FOR_SIGNAL",
    Op.INVOKE_FUNCTION: "INVOKE",
    Op.AI_GATEWAY: "AI_GATEWAY",
}
_DEFAULT_TYPE: Final = "step.run"
assert _SPAN_WORDS.keys() == set(StepStatus), "every step status has a word"


def span_word(entry: StepEntry) -> str:
    """A step's state; an attempt that failed and is tried again counts as running."""
    return _SPAN_WORDS[shown_status(entry)]


def op_word(entry: StepEntry) -> str:
    """A step's kind; whatever runs a body is ``RUN``."""
    return _OP_WORDS.get(entry.op, "RUN")


def step_type(entry: StepEntry) -> str:
    """What the SDK calls the step's kind."""
    return str(entry.opts.get("type") or _DEFAULT_TYPE)
