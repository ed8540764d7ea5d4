"""Work that is waiting for a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Route:
    """Offer a stored event to everything it may start."""

    event_id: str


@dataclass(frozen=True, slots=True)
class Start:
    """Drive a run once it is let: for the first time, or from where a limit or a halt held it back.

    ``function_id`` is that of a run without limits, which is driven at once unless its function stands still.
    """

    run_id: str
    function_id: str = ""


@dataclass(frozen=True, slots=True)
class OpenGate:
    """A gate's rate lets more through from ``not_before_ms`` on, or a halt is over: let the first of its line go."""

    gate: str
    not_before_ms: int = 0


@dataclass(frozen=True, slots=True)
class FireDebounce:
    """A debounce may be due: the one of ``gate`` that ``first_event_id`` began."""

    gate: str
    function_id: str
    first_event_id: str


@dataclass(frozen=True, slots=True)
class CloseBatch:
    """The batch of that name at ``gate`` has waited long enough at ``until_ms``, also when its item was postponed."""

    gate: str
    function_id: str
    batch_id: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Drive:
    """Bring a run as far as it gets. ``reason`` only serves people."""

    run_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Execute:
    """Run one planned step: attempt number ``attempt``, counted from 0. ``limited``: its run keeps keys of limits.

    ``function_id`` is empty where that was not noted yet.
    """

    run_id: str
    step_id: str
    attempt: int
    limited: bool = False
    function_id: str = ""


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


@dataclass(frozen=True, slots=True)
class EventArrived:
    """An event resumes the wait."""

    event_id: str


@dataclass(frozen=True, slots=True)
class SignalArrived:
    """A signal resumes the wait; ``data`` is any JSON."""

    signal: str
    data: Any


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """The invoked run has ended."""

    run_id: str


@dataclass(frozen=True, slots=True)
class WaitRefused:
    """What the step asked for cannot be had. ``until_ms`` is when the wait that asked ends by itself, if known."""

    message: str
    until_ms: int | None = None


Cause = EventArrived | SignalArrived | ChildEnded | WaitRefused


@dataclass(frozen=True, slots=True)
class Settle:
    """End a step's wait with what it waited for. The first to settle a step wins."""

    run_id: str
    step_id: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Deadline:
    """Cancel a run that has not started, or not ended, in time (protocol 6.7); ``limit_ms`` is how long it had."""

    run_id: str
    kind: Literal["start", "finish"]
    limit_ms: int


@dataclass(frozen=True, slots=True)
class CancelMatching:
    """Cancel the runs of a function created in a window whose trigger event an expression accepts, page by page.

    ``from_ms`` is inclusive and ``until_ms`` exclusive; ``cursor`` is the last run id of the page before.
    """

    cancellation_id: str
    function_id: str
    from_ms: int | None
    until_ms: int
    expression: str | None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class FromStep:
    """Where a rerun begins that does not begin at the start.

    ``kept`` counts the steps of the original's stack that the rerun finds done. ``arguments``, if any, are what the
    step runs with instead of its own.
    """

    step_id: str
    kept: int
    arguments: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rerun:
    """Create the run ``run_id`` on the function and the events of another run, and start it."""

    run_id: str
    original_run_id: str
    requested_at_ms: int
    from_step: FromStep | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """A schedule's time has come: ``tick_ms`` is which, before any jitter.

    ``recurring`` ticks are sent one by one by what keeps the schedule; of the others each leads to the next.
    """

    function_id: str
    cron: str
    tick_ms: int
    recurring: bool = False


Work = (
    Route
    | Start
    | OpenGate
    | FireDebounce
    | CloseBatch
    | Drive
    | Execute
    | TimerDue
    | Cancel
    | Settle
    | Deadline
    | CancelMatching
    | Rerun
    | Tick
)

WorkOfNoRun = Route | OpenGate | FireDebounce | CloseBatch | CancelMatching | Tick
"""What is about an event, a gate, a function: no run has it."""


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One queue item, not handed out before its time. An id that is still queued need not be queued again."""

    id: str
    work: Work
    due_at_ms: int
