"""Counts of what happened: runs by function and status, steps, retries, calls. An observer, for summaries."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import RunStatus

_ENDS: Final = {
    NoticeKind.RUN_COMPLETED: RunStatus.COMPLETED,
    NoticeKind.RUN_FAILED: RunStatus.FAILED,
    NoticeKind.RUN_CANCELLED: RunStatus.CANCELLED,
}
_STEP_ENDS: Final = frozenset({NoticeKind.STEP_COMPLETED, NoticeKind.STEP_FAILED, NoticeKind.STEP_TIMED_OUT})


@dataclass(slots=True)
class StepTally:
    """All steps of one function that share a name. ``total_ms`` is the time of their last attempts together."""

    ended: int = 0
    failed: int = 0
    retries: int = 0
    total_ms: int = 0
    longest_ms: int = 0


@dataclass(slots=True)
class Tally:
    """Running counts; hand it to whatever takes an ``Observe``. ``steps`` is keyed by function id and step name."""

    events: int = 0
    calls: int = 0
    created: int = 0
    function_retries: int = 0
    runs: Counter[tuple[str, RunStatus]] = field(default_factory=Counter)
    steps: dict[tuple[str, str], StepTally] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """Runs that reached a terminal state."""
        return self.runs.total()

    @property
    def steps_ended(self) -> int:
        """Steps whose result, or final failure, is in the journal."""
        return sum(step.ended for step in self.steps.values())

    @property
    def retries(self) -> int:
        """Attempts beyond the first, of steps and of functions."""
        return self.function_retries + sum(step.retries for step in self.steps.values())

    def __call__(self, notice: Notice) -> None:
        """Count one notice."""
        match notice.kind:
            case NoticeKind.EVENT_RECEIVED:
                self.events += 1
            case NoticeKind.CALLED:
                self.calls += 1
            case NoticeKind.RUN_CREATED:
                self.created += 1
            case NoticeKind.FUNCTION_RETRYING:
                self.function_retries += 1
            case NoticeKind.STEP_RETRYING:
                self._step(notice).retries += 1
            case kind if kind in _STEP_ENDS:
                self._end_step(notice)
            case kind if kind in _ENDS:
                self.runs[notice.function_id, _ENDS[kind]] += 1
            case _:
                pass

    def _step(self, notice: Notice) -> StepTally:
        return self.steps.setdefault((notice.function_id, notice.subject), StepTally())

    def _end_step(self, notice: Notice) -> None:
        step = self._step(notice)
        duration_ms = notice.duration_ms or 0
        step.ended += 1
        step.failed += notice.kind is NoticeKind.STEP_FAILED
        step.total_ms += duration_ms
        step.longest_ms = max(step.longest_ms, duration_ms)
