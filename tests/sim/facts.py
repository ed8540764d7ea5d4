"""What a checker is told: things that happened, each at its place in one order. Nothing here comes from the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import BatchBounds, BatchEvent, Debounced, Halts, Offer, OpenBatch
from stepwell_orchestrator.model.rate import Rate
from stepwell_orchestrator.model.run import Outcome, RunHeader
from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.model.step import StepEntry


@dataclass(frozen=True, slots=True)
class EventStored:
    """The journal took an event in; ``new`` is False for a repeat that changed nothing."""

    event: Event
    new: bool


@dataclass(frozen=True, slots=True)
class EventAnswered:
    """The sender of an event was told that it is accepted."""

    internal_id: str


@dataclass(frozen=True, slots=True)
class RunCreated:
    """The journal took a run in."""

    header: RunHeader


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A worker took the drive lease of a run for the first time; ``at_ms`` is when it asked, by its own clock.

    ``handling`` numbers the queue items that were handed to workers.
    """

    run_id: str
    at_ms: int
    handling: int = 0


@dataclass(frozen=True, slots=True)
class EntryWritten:
    """The journal took a step's entry in, from whoever was at queue item ``handling``."""

    run_id: str
    entry: StepEntry
    handling: int = 0


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The journal took a run's end in."""

    run_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CallMade:
    """A worker called a function.

    ``handling`` numbers the queue items that were handed to workers. ``looked`` is the place, in the order of facts, of
    the worker's last read of the run before the call, ``since`` that of the moment it was handed its item.
    """

    call: int
    run_id: str
    target: str | None
    attempt: int
    max_attempts: int
    term: int
    handling: int
    looked: int
    since: int
    stack: Sequence[str] = ()
    memos: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BodyRan:
    """The body of a step was entered, in a call."""

    call: int
    run_id: str
    step_id: str
    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class PauseFiled:
    """A pause was filed by whoever was at queue item ``handling``."""

    run_id: str
    pause_id: str
    handling: int


@dataclass(frozen=True, slots=True)
class WorkLost:
    """Queue item ``handling`` was not dealt with to the end: its worker died or failed."""

    handling: int


@dataclass(frozen=True, slots=True)
class SignalTaken:
    """A step asked to be the waiter of a signal; ``taken`` says whether it is."""

    wait: SignalWait
    taken: bool


@dataclass(frozen=True, slots=True)
class SignalDropped:
    """A step stopped being the waiter of a signal, if it was."""

    wait: SignalWait


@dataclass(frozen=True, slots=True)
class SignalSent:
    """Somebody sends a signal; its data is ``token``, which no other has."""

    token: int
    name: str


@dataclass(frozen=True, slots=True)
class SignalAnswered:
    """The sender of a signal was told which run it resumed, if any."""

    token: int
    run_id: str | None


@dataclass(frozen=True, slots=True)
class SlotTaken:
    """A slot of a gate was given at ``now_ms`` by the clock of who asked; None: until given back."""

    gate: str
    most: int
    holder: str
    now_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class SlotRenewed:
    """A slot was prolonged by its holder."""

    gate: str
    holder: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class SlotGiven:
    """A slot was given back, if it was held."""

    gate: str
    holder: str


@dataclass(frozen=True, slots=True)
class TokenTaken:
    """A gate let one through by its rate, at ``now_ms`` by its own clock."""

    gate: str
    rate: Rate
    taker: str
    now_ms: int


@dataclass(frozen=True, slots=True)
class HaltsLooked:
    """A worker, at a queue item, looked at what stands still."""

    handling: int
    halts: Halts


@dataclass(frozen=True, slots=True)
class EventDebounced:
    """An event was offered to a debounce, which was like ``kept`` after that."""

    gate: str
    offer: Offer
    kept: Debounced


@dataclass(frozen=True, slots=True)
class EventBatched:
    """An event was added to a batch, or was in it before."""

    gate: str
    event: BatchEvent
    bounds: BatchBounds
    batch: OpenBatch


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Somebody asks to cancel a run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class BulkCancelAsked:
    """Somebody asks to cancel a function's runs created in a window, of one user when ``user`` is set.

    ``accepted``: and is told that this will be done.
    """

    function_id: str
    until_ms: int
    user: int | None
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class RerunAsked:
    """Somebody asks to run a run's function again."""

    run_id: str


@dataclass(frozen=True, slots=True)
class RerunAnswered:
    """The same was accepted, and this is the new run."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault that struck whoever was working on a run: it may explain that a body runs again."""

    run_id: str
    what: str


Fact = (
    EventStored
    | EventAnswered
    | RunCreated
    | RunStarted
    | EntryWritten
    | RunEnded
    | CallMade
    | BodyRan
    | PauseFiled
    | WorkLost
    | SignalTaken
    | SignalDropped
    | SignalSent
    | SignalAnswered
    | SlotTaken
    | SlotRenewed
    | SlotGiven
    | TokenTaken
    | HaltsLooked
    | EventDebounced
    | EventBatched
    | CancelAsked
    | BulkCancelAsked
    | RerunAsked
    | RerunAnswered
    | Trouble
)
