"""How a wait ends: by its time, or by what it waited for. Each gives the step's final entry (protocol 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from stepwell.wire.encoding import encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.memo import INVOKE_TIMEOUT, failure_memo, value_memo
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Outcome, RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.model.step_kind import StepKind, kind_of

_TIMED_OUT: Final = "Timed out waiting for invoked function to complete"
_INVOKE_TIMEOUT: Final = {
    "error": {"error": f"{INVOKE_TIMEOUT}: {_TIMED_OUT}", "name": INVOKE_TIMEOUT, "message": _TIMED_OUT}
}


def time_is_up(entry: StepEntry, now_ms: int) -> StepEntry:
    """A sleep is over, or a wait has seen nothing in its time."""
    if entry.status is StepStatus.SLEEPING:
        return _ended(entry, StepStatus.COMPLETED, None, now_ms)
    memo = _INVOKE_TIMEOUT if kind_of(entry.op) is StepKind.INVOKE else None
    return _ended(entry, StepStatus.TIMED_OUT, memo, now_ms)


def by_event(entry: StepEntry, event: Event, now_ms: int) -> StepEntry:
    """The event itself, bare; the entry remembers which, so that the run's next wait does not take it again."""
    used = {**entry.opts, "event_id": event.internal_id, "received_at_ms": event.received_at_ms}
    return replace(_ended(entry, StepStatus.COMPLETED, event.wire(), now_ms), opts=used)


def by_signal(entry: StepEntry, signal: str, data: Any, now_ms: int) -> StepEntry:
    """The signal's name and data."""
    return _ended(entry, StepStatus.COMPLETED, value_memo({"signal": signal, "data": data}), now_ms)


def by_child(entry: StepEntry, outcome: Outcome, now_ms: int) -> StepEntry:
    """The invoked run's result, or its error with name, message and stack as the child had them."""
    if outcome.status is RunStatus.COMPLETED:
        return _ended(entry, StepStatus.COMPLETED, value_memo(outcome.output), now_ms)
    if outcome.status is RunStatus.CANCELLED:
        return by_refusal(entry, "invoked function was cancelled", now_ms)
    error: Mapping[str, Any] = outcome.error or {}
    return _ended(entry, StepStatus.FAILED, {"error": dict(error)}, now_ms)


def by_refusal(entry: StepEntry, message: str, now_ms: int) -> StepEntry:
    """What the step asked for cannot be had."""
    return _ended(entry, StepStatus.FAILED, failure_memo(ErrorBody("Error", message)), now_ms)


def _ended(entry: StepEntry, status: StepStatus, memo: Any, now_ms: int) -> StepEntry:
    return replace(entry, status=status, memo=memo, ended_at_ms=now_ms, size_bytes=len(encode(memo)))
