"""The words that GraphQL and REST v2 use for states and kinds (protocol 6.13, 7.3, 7.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.model.step_kind import StepKind, kind_of
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
    StepStatus.DEFERRED: "QUEUED",
}
_KIND_WORDS: Final[Mapping[StepKind, str]] = {
    StepKind.RUN: "RUN",
    StepKind.SLEEP: "SLEEP",
    StepKind.WAIT_FOR_EVENT: "WAIT_FOR_EVENT",
    StepKind.WAIT_FOR_SIGNAL: "WAIT_FOR_SIGNAL",
    StepKind.INVOKE: "INVOKE",
    StepKind.INFER: "AI_GATEWAY",
    # The API has no word for it (protocol 7.3).
    StepKind.FETCH: "RUN",
}
_DEFAULT_TYPE: Final = "step.run"
assert _SPAN_WORDS.keys() == set(StepStatus), "every step status has a word"
assert _KIND_WORDS.keys() == set(StepKind), "every step kind has a word"


def span_word(entry: StepEntry, *, over: bool) -> str:
    """A step's state; an attempt that failed and is tried again counts as running. ``over``: its run has ended."""
    return _SPAN_WORDS[shown_status(entry, over=over)]


def op_word(entry: StepEntry) -> str:
    """A step's kind."""
    return _KIND_WORDS[kind_of(entry.op)]


def step_type(entry: StepEntry) -> str:
    """What the SDK calls the step's kind."""
    return str(entry.opts.get("type") or _DEFAULT_TYPE)
