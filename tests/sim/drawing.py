"""Steps drawn at random, within what the function they belong to may reach."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS
from tests.sim.steps import (
    ABSENT_FUNCTION,
    SIGNALS,
    WAIT_EVENTS,
    Do,
    EventWait,
    Invocation,
    Nap,
    Narrow,
    SendEvent,
    SendSignal,
    SignalWait,
    Wait,
)

FINISHED_EVENT: Final = "inngest/function.finished"
_WAITED_FOR = (*WAIT_EVENTS, *WAIT_EVENTS, *WAIT_EVENTS, "sim/go", FINISHED_EVENT)
_TIMEOUTS_MS: Final = (SECOND_MS, 30 * SECOND_MS, 30 * SECOND_MS, 5 * MINUTE_MS, 40 * MINUTE_MS, 2 * HOUR_MS)
_LOOKBACKS: Final[tuple[int | Literal["run"] | None, ...]] = (None, None, None, None, "run", MINUTE_MS)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a function may invoke, and which events its steps may send; chosen so that no world goes on for ever."""

    functions: Sequence[str] = ()
    events: Sequence[str] = WAIT_EVENTS


@dataclass(frozen=True, slots=True)
class Drawing:
    """Draws the steps of one function, each with a number of its own in its name."""

    chance: random.Random
    max_attempts: int
    reach: Reach
    numbers: Iterator[int]

    def wait(self, *, sure: bool) -> Wait:
        """A wait; ``sure``: one that cannot fail."""
        kind = self.chance.choice(("event", "event", "event", "signal", "invoke"))
        timeout_ms = self.chance.choice(_TIMEOUTS_MS)
        number = next(self.numbers)
        if kind == "event" or (sure and kind == "invoke"):
            narrow = self.chance.choice((*Narrow, Narrow.SAME_USER, Narrow.SAME_USER))
            lookback = self.chance.choice(_LOOKBACKS)
            return EventWait(f"wait{number}", self.chance.choice(_WAITED_FOR), narrow, timeout_ms, lookback)
        if kind == "signal":
            replaces = sure or self.chance.random() < 0.5
            return SignalWait(f"signal{number}", self.chance.choice(SIGNALS), timeout_ms, replaces)
        absent = not self.reach.functions or self.chance.random() < 0.1
        function = ABSENT_FUNCTION if absent else self.chance.choice(self.reach.functions)
        return Invocation(f"invoke{number}", function, timeout_ms, abandons=number % 3 == 0)

    def waits_in_a_row(self) -> tuple[EventWait, ...]:
        """Waits for one event after another, each also looking back."""
        narrow, event = self.chance.choice(tuple(Narrow)), self.chance.choice(WAIT_EVENTS)
        timeout_ms, lookback = self.chance.choice(_TIMEOUTS_MS), self.chance.choice(("run", MINUTE_MS))
        names = [f"wait{next(self.numbers)}" for _ in range(self.chance.randint(2, 3))]
        return tuple(EventWait(name, event, narrow, timeout_ms, lookback) for name in names)

    def sending(self) -> SendEvent | SendSignal:
        """A step that sends something."""
        number = next(self.numbers)
        if self.chance.random() < 0.4:
            return SendSignal(f"send{number}", self.chance.choice(SIGNALS))
        return SendEvent(f"send{number}", self.chance.choice(self.reach.events), self.chance.choice((0, 3, 7)))

    def do(self) -> Do:
        """A body, which may fail for good."""
        fails = self.chance.choice((0, 0, 0, 0, 0, 1, 2, 99))
        return Do(f"do{next(self.numbers)}", fails, self.chance.choice((1, 1, 1, 3)))

    def do_surely(self) -> Do:
        """A body that succeeds in the end."""
        fails = min(self.chance.choice((0, 0, 1)), self.max_attempts - 1)
        return Do(f"do{next(self.numbers)}", fails, self.chance.choice((1, 2)))

    def nap(self) -> Nap:
        """A sleep."""
        return Nap(f"nap{next(self.numbers)}", self.chance.choice((1_000, 45_000, 900_000)))
