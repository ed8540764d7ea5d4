"""Flow control: a function's options as they are applied, and what a run keeps of them.

A *limit* is what an option says. A *gate* is a limit with one value of its key: what is counted. ``gate`` is its id.
A *halt* is what people say: a function or a whole app is paused, or drains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, NamedTuple, Self

from stepwell_orchestrator.model.queue_item import Execute, Start
from stepwell_orchestrator.model.rate import Rate


class Scope(StrEnum):
    """What shares a concurrency limit. There is one environment and one account; a limit of either is apart."""

    FUNCTION = "fn"
    ENVIRONMENT = "env"
    ACCOUNT = "account"


class Counted(StrEnum):
    """What a limit counts."""

    CALLS = "calls"
    """Calls being made: a run that sleeps or waits has none."""
    RUNS = "runs"
    """Runs from their start to their end."""
    STARTS = "starts"
    """Starts of runs over time."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that makes runs wait: at most ``most`` at a time or, for starts, a rate.

    ``id`` says what is counted, by what key and for whom: what a deploy may not change without making another limit.
    ``most`` and ``rate`` are what it may change, also for runs that wait already.
    """

    id: str
    counts: Counted
    key: str | None = None
    scope: Scope = Scope.FUNCTION
    most: int = 0
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Events beyond ``rate`` start nothing."""

    rate: Rate
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Debounce:
    """One run with the latest event, ``period_ms`` after it, and ``timeout_ms`` after the first one at the latest."""

    period_ms: int
    key: str | None = None
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One run for ``max_size`` events, or for what came within ``timeout_ms`` of the first.

    An event that ``condition`` does not accept runs alone, at once.
    """

    max_size: int
    timeout_ms: int
    key: str | None = None
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Singleton:
    """One run at a time: a newer one is skipped, or cancels the one that goes on."""

    mode: Literal["skip", "cancel"]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """All flow control of one function. ``limits`` are in the order in which they are taken."""

    limits: tuple[Limit, ...] = ()
    rate_limit: RateLimit | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    priority: str | None = None
    singleton: Singleton | None = None


@dataclass(frozen=True, slots=True)
class RunFlow:
    """What a run keeps: evaluated once, against its trigger event, when it is scheduled.

    ``keys`` has the value of the key of each limit of its function by the limit's id ("" for a limit without one).
    ``order_ms`` is its place in every line it waits in: the time of its start, less what its priority gives it.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    order_ms: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A waiter's place in the line of a gate: lower is earlier. ``waiter`` is the run's id, or run and step."""

    order_ms: int
    waiter: str


@dataclass(frozen=True, slots=True)
class Waiter:
    """Who waits at a gate. ``work`` goes on with it; ``limit_id`` is the limit of ``function_id`` that it waits for.

    ``turn`` counts how often it joined the line, as the store knows it.
    """

    place: Place
    function_id: str
    limit_id: str
    work: Start | Execute
    since_ms: int
    turn: int = 1


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a slot: a drive (run and term), the attempt of a step, or a run. ``until_ms`` is None for a run."""

    name: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GateState:
    """A gate as it is: its holders whose time is not up, and the first in its line.

    ``tat_ms`` is GCRA's theoretical arrival time, None for a gate through which nobody went lately; ``takers`` are the
    last who went through by its rate.
    """

    holders: tuple[Holder, ...] = ()
    line: tuple[Waiter, ...] = ()
    tat_ms: int | None = None
    takers: tuple[str, ...] = ()


class DebounceStage(StrEnum):
    """How far a debounce has come."""

    OPEN = "open"
    """It takes events."""
    TAKEN = "taken"
    """Its event is taken, and its run may not exist yet."""
    OVER = "over"
    """Its run exists."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An event that is offered to a debounce at ``offered_at_ms``."""

    event_id: str
    event_ts_ms: int
    received_at_ms: int
    offered_at_ms: int
    debounce: Debounce

    @property
    def order(self) -> tuple[int, int, str]:
        """Which of two events is the later one: by the event's own time, then by when it was received."""
        return self.event_ts_ms, self.received_at_ms, self.event_id


@dataclass(frozen=True, slots=True)
class Debounced:
    """A debounce: the one event that it keeps, and until when.

    ``first_event_id`` is the event that began it, which is its name; ``latest_received_ms`` when the last one of those
    it was offered had been received.
    """

    first_event_id: str
    first_at_ms: int
    event_id: str
    event_ts_ms: int
    received_at_ms: int
    latest_received_ms: int
    due_at_ms: int
    stage: DebounceStage = DebounceStage.OPEN

    @classmethod
    def begun(cls, offer: Offer) -> Self:
        """One that begins with an event."""
        return cls(
            first_event_id=offer.event_id,
            first_at_ms=offer.offered_at_ms,
            event_id=offer.event_id,
            event_ts_ms=offer.event_ts_ms,
            received_at_ms=offer.received_at_ms,
            latest_received_ms=offer.received_at_ms,
            due_at_ms=_due_at_ms(offer, offer.offered_at_ms),
        )

    def after(self, offer: Offer) -> Self:
        """What there is after an event was offered; the same object where that changes nothing.

        An open one keeps the later event, and waits for another period; the event that it keeps, offered again,
        changes nothing. One that is taken stays as it is until its run exists. Once it is over, an event that is no
        later than the one that ran, and was received no later than the last of them, was one of them: it may be
        offered again by a redelivery. Any other begins a new one.
        """
        is_later = offer.order > (self.event_ts_ms, self.received_at_ms, self.event_id)
        match self.stage:
            case DebounceStage.TAKEN:
                return self
            case DebounceStage.OVER:
                was_one = not is_later and offer.received_at_ms <= self.latest_received_ms
                return self if was_one else self.begun(offer)
            case DebounceStage.OPEN:
                if offer.event_id == self.event_id:
                    return self
        kept = offer if is_later else self
        return replace(
            self,
            event_id=kept.event_id,
            event_ts_ms=kept.event_ts_ms,
            received_at_ms=kept.received_at_ms,
            latest_received_ms=max(self.latest_received_ms, offer.received_at_ms),
            due_at_ms=max(self.due_at_ms, _due_at_ms(offer, self.first_at_ms)),
        )

    def fired(self, now_ms: int) -> Self:
        """What there is after its timer came: its event is taken, if it is due."""
        is_due = self.stage is DebounceStage.OPEN and self.due_at_ms <= now_ms
        return replace(self, stage=DebounceStage.TAKEN) if is_due else self

    def ended(self) -> Self:
        """What there is after its run exists."""
        return replace(self, stage=DebounceStage.OVER) if self.stage is DebounceStage.TAKEN else self


def _due_at_ms(offer: Offer, first_at_ms: int) -> int:
    due_at_ms, timeout_ms = offer.offered_at_ms + offer.debounce.period_ms, offer.debounce.timeout_ms
    return due_at_ms if timeout_ms is None else min(due_at_ms, first_at_ms + timeout_ms)


@dataclass(frozen=True, slots=True)
class BatchEvent:
    """An event that is added to a batch: its bytes are those in a call."""

    event_id: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BatchBounds:
    """What closes a batch: so many events, or so many bytes of them."""

    size: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch as it is after an event was added. ``batch_id`` is the event that opened it."""

    batch_id: str
    size: int
    first_at_ms: int
    closed: bool = False


class HaltScope(NamedTuple):
    """What stands still: the function of that id, or all functions of the app of that id."""

    kind: Literal["function", "app"]
    id: str


class Halted(StrEnum):
    """What a halt lets nobody begin."""

    STARTS = "starts"
    """Runs."""
    CALLS = "calls"
    """Calls of runs that have started."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A function or app that stands still since ``since_ms``; ``by`` and ``reason`` are what people said, if they did.

    No run of it starts. Without ``calls_id`` it drains: what has started goes on. The ids name one closing each, and
    are never used again: who waits, waits for the closing of that id to be over.
    """

    starts_id: str
    calls_id: str | None
    since_ms: int
    by: str | None = None
    reason: str | None = None

    @property
    def draining(self) -> bool:
        """Whether what has started goes on."""
        return self.calls_id is None

    def closing(self, halted: Halted) -> str | None:
        """The id of its closing of starts or calls, None where it lets them begin."""
        return self.starts_id if halted is Halted.STARTS else self.calls_id


@dataclass(frozen=True, slots=True)
class Halts:
    """Everything that stands still, as it was at one moment."""

    by_scope: Mapping[HaltScope, Halt] = field(default_factory=dict)

    def changed(self, scope: HaltScope, halt: Halt | None) -> Halts:
        """The same with one halt put, replaced or lifted."""
        others = {known: found for known, found in self.by_scope.items() if known != scope}
        return Halts(others if halt is None else {**others, scope: halt})

    def closing(self, halted: Halted, function_id: str, app_id: str) -> str | None:
        """The id of what keeps a function from it: of the function's own halt before that of its app."""
        closed = self.closed_by(halted, function_id, app_id)
        return None if closed is None else closed[1].closing(halted)

    def closed_by(self, halted: Halted, function_id: str, app_id: str) -> tuple[HaltScope, Halt] | None:
        """The halt that keeps a function from it, and of what it is."""
        for scope in scopes_of(function_id, app_id):
            halt = self.by_scope.get(scope)
            if halt is not None and halt.closing(halted) is not None:
                return scope, halt
        return None

    def scopes_over(self, function_id: str, app_id: str) -> set[HaltScope]:
        """What that stands still a function is part of."""
        return {scope for scope in scopes_of(function_id, app_id) if scope in self.by_scope}

    def in_force(self, closing: str) -> bool:
        """Whether that closing is not over yet."""
        return any(closing in (halt.starts_id, halt.calls_id) for halt in self.by_scope.values())


def scopes_of(function_id: str, app_id: str) -> list[HaltScope]:
    """What a function stands still with, itself first."""
    return [HaltScope("function", function_id), HaltScope("app", app_id)]


@dataclass(frozen=True, slots=True)
class ClosedBatch:
    """A batch that takes no more: its events, in no order."""

    batch_id: str
    event_ids: tuple[str, ...]
    closed_at_ms: int
