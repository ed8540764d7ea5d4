"""What a checker is told: things that happened, each at its place in one order. Nothing here comes from the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Outcome, RunHeader
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
class EntryWritten:
    """The journal took a step's entry in."""

    run_id: str
    entry: StepEntry


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
class Trouble:
    """A fault that struck whoever was working on a run: it may explain that a body runs again."""

    run_id: str
    what: str


Fact = EventStored | EventAnswered | RunCreated | EntryWritten | RunEnded | CallMade | BodyRan | Trouble
