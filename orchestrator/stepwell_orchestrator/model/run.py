"""A run: its header, and the whole of it with events and journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from stepwell.wire.headers import REQUEST_VERSION_UNKNOWN
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import RunFlow
from stepwell_orchestrator.model.pause import PauseKey
from stepwell_orchestrator.model.step import Place, StepEntry


class RunStatus(StrEnum):
    """Where a run stands. The last three are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. ``output`` is the function's result, or the failed call's error body as it was sent.

    ``error`` is set on failure: name, message, stack and cause as lifecycle events carry them. ``warnings`` are those
    that the call which ended the run was the first to say.
    """

    status: RunStatus
    ended_at_ms: int
    output: Any = None
    error: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """What only the holder of the drive lease writes.

    ``discovered`` is how many memoised steps the last discovery knew of (None: a discovery is owed whatever else).
    ``attempt`` counts failed discoveries in a row, which it only does as long as no step was executed in place since:
    ``executed`` is how many had been when it was counted. ``retry_at_ms`` is when the next one may start.
    ``placed`` gives stack places to entries that were written without one; ``fences`` bounds, per term that ended
    without a release, how many places of that term count. ``unreported`` are the pending steps that the last discovery
    did not ask for any more. ``said`` is how far the lines that the function logs have come: memos given out, and lines
    since the last of them. ``warnings`` are what its calls have told its author, once each.
    """

    request_version: int = REQUEST_VERSION_UNKNOWN
    discovered: int | None = None
    attempt: int = 0
    executed: int = 0
    retry_at_ms: int | None = None
    placed: Mapping[str, Place] = field(default_factory=dict)
    fences: Mapping[int, int] = field(default_factory=dict)
    unreported: tuple[str, ...] = ()
    said: tuple[int, int] = (0, 0)
    warnings: tuple[str, ...] = ()


class Invoker(NamedTuple):
    """The step of another run that invoked this one."""

    run_id: str
    step_id: str


@dataclass(frozen=True, slots=True)
class RunHeader:
    """One run without its journal.

    ``wanted`` counts wake-ups, ``term`` the times the drive lease was taken; ``lease_until_ms`` is None while it is
    free. ``original_run_id`` is set on a rerun, ``invoked_by`` on an invoked run, ``cron`` on one that a schedule
    started. ``cancellations`` are the pauses that may cancel it, ``flow`` is what it keeps for the limits of its
    function. ``trouble`` is what last kept a store's queue from having it worked on; it may be over.
    """

    run_id: str
    app_id: str
    function_id: str
    event_name: str
    event_ids: tuple[str, ...]
    created_at_ms: int
    started_at_ms: int | None = None
    progress: Progress = field(default_factory=Progress)
    outcome: Outcome | None = None
    wanted: int = 0
    term: int = 0
    lease_until_ms: int | None = None
    original_run_id: str | None = None
    invoked_by: Invoker | None = None
    cancellations: tuple[PauseKey, ...] = ()
    flow: RunFlow = field(default_factory=RunFlow)
    trouble: str | None = None
    cron: str | None = None

    @property
    def limited(self) -> bool:
        """Whether a limit of its function concerns it."""
        return bool(self.flow.keys)

    @property
    def order_ms(self) -> int:
        """Its place in every line it waits in."""
        return self.flow.order_ms if self.limited else self.created_at_ms

    @property
    def status(self) -> RunStatus:
        """The run's status as people see it."""
        if self.outcome is not None:
            return self.outcome.status
        return RunStatus.QUEUED if self.started_at_ms is None else RunStatus.RUNNING

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the calls of its function have told its author, once each, in the order it was first said."""
        last = () if self.outcome is None else self.outcome.warnings
        return tuple(dict.fromkeys((*self.progress.warnings, *last)))


@dataclass(frozen=True, slots=True)
class Run:
    """A run with its trigger events and its journal, keyed by hashed step id."""

    header: RunHeader
    events: tuple[Event, ...]
    entries: Mapping[str, StepEntry] = field(default_factory=dict)

    @property
    def steps(self) -> dict[str, StepEntry]:
        """The entries of its steps: without those of the functions that it deferred."""
        return {step_id: entry for step_id, entry in self.entries.items() if entry.is_step}
