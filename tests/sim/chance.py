"""Everything that is drawn: from one seed, a stream of its own for each purpose, so that none disturbs another."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS

SKEW_MAX_MS = 2 * SECOND_MS


class Fault(StrEnum):
    """Every way of going wrong."""

    CRASH_BEFORE = "worker dies before a port call"
    CRASH_AFTER = "worker dies after a port call"
    THROTTLED = "port refuses"
    LOST_REPLY = "port does it and reports failure"
    PARTIAL_SEND = "port sends some of the items and reports failure"
    SLOW_REQUEST = "port call arrives late"
    SLOW_REPLY = "port answers late"
    UNREACHABLE = "function cannot be reached"
    REPLY_LOST = "function runs, its reply is lost"
    GARBAGE = "function's reply is garbage"
    GATEWAY_ERROR = "a gateway answers for the function"
    SLOW_FUNCTION = "function answers late"
    DEAD_FUNCTION = "function never answers"
    CRASH_IN_CALL = "worker dies while a function works"
    LATE = "delivery comes late"
    TWICE = "delivery comes twice at once"
    AGAIN = "delivery comes again when it was long done"


BEFORE_PORT = (Fault.CRASH_BEFORE, Fault.THROTTLED, Fault.SLOW_REQUEST)
AFTER_PORT = (Fault.CRASH_AFTER, Fault.LOST_REPLY, Fault.SLOW_REPLY)
OF_CALLS = (
    Fault.UNREACHABLE,
    Fault.REPLY_LOST,
    Fault.GARBAGE,
    Fault.GATEWAY_ERROR,
    Fault.SLOW_FUNCTION,
    Fault.DEAD_FUNCTION,
    Fault.CRASH_IN_CALL,
)
OF_DELIVERIES = (Fault.LATE, Fault.TWICE, Fault.AGAIN)
OF_TIMING = frozenset({Fault.SLOW_REQUEST, Fault.SLOW_REPLY, Fault.SLOW_FUNCTION, *OF_DELIVERIES})
"""Faults that break nothing by themselves: a world may have these alone."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What makes one world different from another."""

    workers: int
    skews_ms: tuple[int, ...]
    latency_ms: int
    renews_deliveries: bool
    functions: int
    events: int
    cancels: int
    faulty_ms: int
    slow_ms: int
    call_timeout_ms: int
    odds: Mapping[Fault, float]

    @classmethod
    def draw(cls, seed: int) -> Knobs:
        """The knobs of a seed."""
        chance = stream(seed, "knobs")
        workers = chance.randint(1, 4)
        return cls(
            workers=workers,
            skews_ms=tuple(chance.randint(-SKEW_MAX_MS, SKEW_MAX_MS) for _ in range(workers)),
            latency_ms=chance.choice((0, 0, 3, 40)),
            renews_deliveries=chance.random() < 0.7,
            functions=chance.randint(1, 4),
            events=chance.randint(1, 6),
            cancels=chance.choice((0, 0, 1, 3)),
            faulty_ms=chance.choice((5 * MINUTE_MS, 20 * MINUTE_MS, 2 * HOUR_MS)),
            slow_ms=chance.choice((100, 5 * SECOND_MS, 50 * SECOND_MS)),
            call_timeout_ms=chance.choice((20 * SECOND_MS, 90 * SECOND_MS)),
            odds=_odds(chance),
        )


def stream(seed: int, purpose: str) -> random.Random:
    """Numbers for one purpose."""
    return random.Random(f"{seed}:{purpose}")


def _odds(chance: random.Random) -> dict[Fault, float]:
    temper = chance.choice(("calm", "timing", "rough", "rough", "rough", "one kind"))
    alone = chance.choice(list(Fault))
    odds: dict[Fault, float] = {}
    for fault in Fault:
        drawn = chance.choice((0.0, 0.005, 0.02, 0.06)) * (4 if fault in (*OF_CALLS, *OF_DELIVERIES) else 1)
        allowed = {"calm": False, "timing": fault in OF_TIMING, "rough": True, "one kind": fault is alone}[temper]
        odds[fault] = (0.1 if temper == "one kind" else drawn) if allowed else 0.0
    return odds


class Faults:
    """Decides, call by call, what goes wrong; counts it; and stops when the world heals."""

    def __init__(self, seed: int, odds: Mapping[Fault, float]) -> None:
        self.healed = False
        self.counts: Counter[str] = Counter()
        self.crash_points: Counter[str] = Counter()
        self._odds = odds
        self._chance = stream(seed, "faults")

    def draw(self, kinds: Sequence[Fault], where: str = "") -> Fault | None:
        """Which of the kinds strikes now, if any. ``where`` names the port call, for the count of crash points."""
        roll = self._chance.random()
        if self.healed:
            return None
        for kind in kinds:
            roll -= self._odds[kind]
            if roll < 0:
                self.counts[kind] += 1
                if kind in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER):
                    self.crash_points[f"{'before' if kind is Fault.CRASH_BEFORE else 'after'} {where}"] += 1
                return kind
        return None

    def withdraw(self, fault: Fault) -> None:
        """A fault that was drawn turned out not to apply."""
        self.counts[fault] -= 1

    def duration_ms(self, longest_ms: int) -> int:
        """How long something takes."""
        return self._chance.randint(0, longest_ms)
