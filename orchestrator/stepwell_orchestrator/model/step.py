"""A step's journal entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from stepwell.wire.opcodes import Op


class StepStatus(StrEnum):
    """Where a step stands. COMPLETED, FAILED and TIMED_OUT are final: the entry is memoised and never changes again.

    DROPPED: the function no longer has the step; it comes back to life when a later discovery plans it again.
    """

    PLANNED = "planned"
    RUNNING = "running"
    ERRORED = "errored"
    SLEEPING = "sleeping"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    DROPPED = "dropped"


_MEMOISED = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.TIMED_OUT})
_CLAIMABLE = frozenset({StepStatus.PLANNED, StepStatus.ERRORED, StepStatus.RUNNING})
_PENDING = frozenset({StepStatus.PLANNED, StepStatus.RUNNING, StepStatus.SLEEPING, StepStatus.WAITING})


class Place(NamedTuple):
    """A position in a run's stack: the driver's term, then a count within that term."""

    term: int
    position: int


@dataclass(frozen=True, slots=True)
class StepEntry:
    """One step of one run.

    ``attempt`` counts failed attempts under its id so far, and never falls: a claim and a queue item are for one
    attempt. ``first_attempt`` is where the counting of this step begins: one that was dropped, or was of another kind,
    had those before. ``due_at_ms`` is when it is looked at again: a sleep's end, a retry.
    ``planned``: a queue item of its own executes it; otherwise a discovery does, in place.
    ``memo`` is the raw wire memo, present once the step is memoised. ``place`` is its position in the stack when the
    drive lease was held by its writer. ``race`` says that its completion alone may let the function go on.
    ``claim_until_ms`` is the lease of the worker that executes it, taken at ``claimed_at_ms``. ``error`` is the last
    failed attempt's. ``arguments``, on a step that has not finished, replace those its function gives it.
    ``warnings`` are what the calls that executed it by itself were the first to say. ``left`` is what entries of older
    code waited with that gave way to this one, as far as that may still be filed.
    """

    step_id: str
    name: str
    op: Op
    status: StepStatus
    queued_at_ms: int
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    attempt: int = 0
    due_at_ms: int | None = None
    claim_until_ms: int | None = None
    claimed_at_ms: int | None = None
    memo: Any = None
    error: Mapping[str, Any] | None = None
    place: Place | None = None
    planned: bool = False
    race: bool = False
    opts: Mapping[str, Any] = field(default_factory=dict)
    size_bytes: int = 0
    arguments: tuple[Any, ...] | None = None
    first_attempt: int = 0
    warnings: tuple[str, ...] = ()
    left: tuple[Mapping[str, Any], ...] = ()

    @property
    def memoised(self) -> bool:
        """Whether the step is finished and its memo is part of the run's state."""
        return self.status in _MEMOISED

    @property
    def failed_attempts(self) -> int:
        """How many attempts of this step, and of none before it under its id, have failed."""
        return self.attempt - self.first_attempt

    @property
    def claimable(self) -> bool:
        """Whether a worker executes the step by itself, or is to."""
        return self.status in _CLAIMABLE

    @property
    def version(self) -> tuple[int, bool, int | None]:
        """What tells the entry from an earlier or a later one of its step: every writer but a renewal changes it."""
        return (self.attempt, self.claimable, self.claimed_at_ms)

    @property
    def pending(self) -> bool:
        """Whether something other than the next discovery will finish the step."""
        return self.status in _PENDING or (self.status is StepStatus.ERRORED and self.planned)
