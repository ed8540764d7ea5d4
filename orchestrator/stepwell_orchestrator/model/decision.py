"""What the engine decides: guarded writes and, after them, commands."""

from __future__ import annotations

from dataclasses import dataclass

from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import RunFlow
from stepwell_orchestrator.model.pause import Pause, PauseKey
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.model.run import Outcome, Progress
from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.model.step import StepEntry


@dataclass(frozen=True, slots=True)
class PutEntry:
    """Write a journal entry, whole, in place of ``replaced`` as it was read, or (None) where no entry of the step is.

    Otherwise the whole commit is refused: when the stored entry is memoised by now, or is of another version.
    """

    entry: StepEntry
    replaced: StepEntry | None = None


@dataclass(frozen=True, slots=True)
class PutProgress:
    """Replace the run's progress. Only while the committing driver's term is the current one."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class EndRun:
    """Give the run its one terminal state. Only while it has none."""

    outcome: Outcome


Write = PutEntry | PutProgress | EndRun


@dataclass(frozen=True, slots=True)
class Send:
    """Queue an item."""

    item: QueueItem


@dataclass(frozen=True, slots=True)
class Emit:
    """Store an event of the engine's own, and have it routed like any other if anybody hears of such events.

    A repeat has the same internal id.
    """

    event: Event


@dataclass(frozen=True, slots=True)
class Watch:
    """File a pause, then offer it the events that were received since the call that reported it was made.

    The router does it the other way round: it stores an event, then looks for pauses. Both write first and read
    second, so one of them at least sees the other.
    """

    pause: Pause


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Take pauses out of the file."""

    keys: tuple[PauseKey, ...]


@dataclass(frozen=True, slots=True)
class TakeSignal:
    """Become the waiter of a signal. When it has another one and ``replace`` is not set, the step is refused."""

    wait: SignalWait
    replace: bool


@dataclass(frozen=True, slots=True)
class DropSignal:
    """Stop being the waiter of a signal."""

    wait: SignalWait


@dataclass(frozen=True, slots=True)
class LeaveGates:
    """Give back what a run that is over holds as a run, leave its lines, and send for those who wait there."""

    run_id: str
    function_id: str
    flow: RunFlow


Command = Send | Emit | Watch | Unwatch | TakeSignal | DropSignal | LeaveGates


@dataclass(frozen=True, slots=True)
class Decision:
    """One atomic set of writes and the commands that follow it.

    ``progress`` is the driver's next progress; it becomes durable with a PutProgress or at the release of the lease.
    ``why`` tells people what a retry is for. ``warnings`` are what the writes keep of the run for the first time.
    """

    writes: tuple[Write, ...] = ()
    commands: tuple[Command, ...] = ()
    progress: Progress | None = None
    why: str = ""
    warnings: tuple[str, ...] = ()
