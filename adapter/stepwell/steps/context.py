"""What a function is called with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from stepwell.replaying.logger import ReplayLogger
from stepwell.steps.step import Step
from stepwell.steps.sync_step import SyncStep
from stepwell.values.event import Event

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class CallFacts(Generic[S]):
    """One call of a function.

    ``event`` is the first of ``events``, the batch that started the run, typed when a trigger of the function is an
    Event class. ``attempt`` counts from 0 up to ``max_attempts - 1`` and starts again with every step. ``logger`` is
    silent while the function replays. ``state`` is what middleware put there.
    """

    event: Event
    events: tuple[Event, ...]
    run_id: str
    function_id: str
    attempt: int
    max_attempts: int
    step: S
    logger: ReplayLogger
    state: Mapping[str, Any] = field(default_factory=dict)


class Context(CallFacts[Step]):
    """What an ``async def`` function is called with."""

    __slots__ = ()


class SyncContext(CallFacts[SyncStep]):
    """What a ``def`` function is called with: step calls give their results directly."""

    __slots__ = ()
