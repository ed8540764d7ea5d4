"""Work that is waiting for a worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """Offer a stored event to everything it may start."""

    event_id: str


@dataclass(frozen=True, slots=True)
class Drive:
    """Bring a run as far as it gets. ``reason`` only serves people."""

    run_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Run one planned step: attempt number ``attempt``, counted from 0."""

    run_id: str
    step_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class TimerDue:
    """A step's time has come."""

    run_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a run, unless it ended before."""

    run_id: str
    requested_at_ms: int


Work = Route | Drive | Execute | TimerDue | Cancel


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One queue item, not handed out before its time. Sending an id that is still queued changes nothing."""

    id: str
    work: Work
    due_at_ms: int
