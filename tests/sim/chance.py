"""Everything that is drawn: from one seed, a stream of its own for each purpose, so that none disturbs another."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import TypeVar

from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS

SKEW_MAX_MS = 2 * SECOND_MS

PROMPT_MS = 15 * MINUTE_MS
STORM = 0.04
STORM_MAX_MS = 10 * MINUTE_MS

T = TypeVar("T")


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
    EARLY = "timer comes before its time"


BEFORE_PORT = (Fault.CRASH_BEFORE, Fault.THROTTLED, Fault.SLOW_REQUEST)
AFTER_PORT = (Fault.CRASH_AFTER, Fault.LOST_REPLY, Fault.SLOW_REPLY)
STORMY = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.THROTTLED, Fault.LOST_REPLY)
"""Faults that cost a worker the item it is at, at any port call."""
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
OF_TIMERS = (Fault.EARLY,)
OF_TIMING = frozenset({Fault.SLOW_REQUEST, Fault.SLOW_REPLY, Fault.SLOW_FUNCTION, *OF_DELIVERIES, *OF_TIMERS})
"""Faults that break nothing by themselves: a world may have these alone."""
_SCALE = {**dict.fromkeys(STORMY, 1.0), **dict.fromkeys((*OF_CALLS, *OF_DELIVERIES, *OF_TIMERS), 4.0)}
"""Port calls are many, and the rest is not."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """What makes one world different from another."""

    workers: int
    skews_ms: tuple[int, ...]
    latency_ms: int
    renews_deliveries: bool
    functions: int
    events: int
    pokes: int
    aims: int
    signals: int
    stops: int
    cancels: int
    bulk_cancels: int
    reruns: int
    faulty_ms: int
    slow_ms: int
    call_timeout_ms: int
    odds: Mapping[Fault, float]

    @property
    def skew_max_ms(self) -> int:
        """How far a worker's clock is off, at most."""
        return max((abs(skew_ms) for skew_ms in self.skews_ms), default=0)

    def prompt_ms(self, further: float = 0.0) -> int:
        """How soon something that must follow from something else has followed.

        Soon where nothing is ever lost; where workers hardly ever get through an item, only after the faults.
        ``further``: how likely a port call costs a worker its item by a fault that only the backend has.
        """
        if not further and not any(self.odds[fault] for fault in (*STORMY, Fault.PARTIAL_SEND, Fault.CRASH_IN_CALL)):
            return PROMPT_MS // 5
        return PROMPT_MS + (self.faulty_ms if _is_storm(self.odds, further) else 0)

    @classmethod
    def draw(cls, seed: int) -> Knobs:
        """The knobs of a seed."""
        chance = stream(seed, "knobs")
        workers = chance.randint(1, 4)
        skew_max_ms = chance.choice((0, SKEW_MAX_MS, SKEW_MAX_MS))
        faulty_ms, odds = chance.choice((5 * MINUTE_MS, 20 * MINUTE_MS, 2 * HOUR_MS)), _odds(chance)
        return cls(
            workers=workers,
            skews_ms=tuple(chance.randint(-skew_max_ms, skew_max_ms) for _ in range(workers)),
            latency_ms=chance.choice((0, 0, 3, 40)),
            renews_deliveries=chance.random() < 0.7,
            functions=chance.randint(1, 4),
            events=chance.randint(1, 6),
            pokes=chance.choice((0, 1, 3, 6)),
            aims=chance.choice((0, 2, 4, 8)),
            signals=chance.choice((0, 0, 1, 3)),
            stops=chance.choice((0, 0, 1, 3)),
            cancels=chance.choice((0, 0, 1, 3)),
            bulk_cancels=chance.choice((0, 0, 0, 1)),
            reruns=chance.choice((0, 0, 1, 2)),
            faulty_ms=min(faulty_ms, STORM_MAX_MS) if _is_storm(odds) else faulty_ms,
            slow_ms=chance.choice((100, 5 * SECOND_MS, 50 * SECOND_MS)),
            call_timeout_ms=chance.choice((20 * SECOND_MS, 90 * SECOND_MS)),
            odds=odds,
        )


def _is_storm(odds: Mapping[Fault, float], further: float = 0.0) -> bool:
    return sum(odds[fault] for fault in STORMY) + further > STORM


def stream(seed: int, purpose: str) -> random.Random:
    """Numbers for one purpose."""
    return random.Random(f"{seed}:{purpose}")


def _odds(chance: random.Random) -> dict[Fault, float]:
    temper = chance.choice(("calm", "timing", "rough", "rough", "rough", "one kind"))
    alone = chance.choice(list(Fault))
    odds: dict[Fault, float] = {}
    for fault in Fault:
        drawn = chance.choice((0.0, 0.005, 0.02, 0.06)) * _SCALE.get(fault, 1)
        allowed = {"calm": False, "timing": fault in OF_TIMING, "rough": True, "one kind": fault is alone}[temper]
        odds[fault] = (0.1 if temper == "one kind" else drawn) if allowed else 0.0
    return odds


class Lots:
    """Numbers for occasions. The n-th for one occasion depends on the seed, the occasion and n, and on nothing else:
    a world without one fault draws the same as before wherever the same happens.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.drawn: Counter[str] = Counter()
        """How many numbers each occasion had."""

    def draw(self, occasion: str) -> float:
        """A number from 0 up to, not including, 1."""
        self.drawn[occasion] += 1
        text = f"{self._seed}:{occasion}:{self.drawn[occasion]}"
        return int.from_bytes(blake2b(text.encode(), digest_size=6).digest()) / 2**48

    def up_to(self, longest: int, occasion: str) -> int:
        """A whole number from 0 up to and including ``longest``."""
        return int(self.draw(occasion) * (longest + 1))

    def pick(self, things: Sequence[T], occasion: str) -> T:
        """One of the things."""
        return things[self.up_to(len(things) - 1, occasion)]


class Faults:
    """Decides, call by call, what goes wrong; counts it; and stops when the world heals.

    ``joins`` is asked for each fault that could strike, and told whether it was drawn. A fault has a name that no other
    has, and that stays the same in a world with less in it.
    """

    def __init__(self, lots: Lots, odds: Mapping[Fault, float], joins: Callable[[str, bool], bool]) -> None:
        self.healed = False
        self.counts: Counter[str] = Counter()
        self.crash_points: Counter[str] = Counter()
        self._lots = lots
        self._odds = odds
        self._joins = joins

    def draw(self, kinds: Sequence[Fault], where: str, whom: str) -> Fault | None:
        """Which of the kinds strikes now, if any: at the port call ``where``, done for ``whom``, which says for which
        item or request and about what.
        """
        occasion = f"{whom} {where} {kinds[0].name}"
        roll = self._lots.draw(occasion)
        if self.healed:
            return None
        for kind in kinds:
            roll -= self._odds[kind]
            if self._joins(f"fault {occasion} {kind.name} {self._lots.drawn[occasion]}", roll < 0):
                self._count(kind, where)
                return kind
        return None

    def _count(self, kind: Fault, where: str) -> None:
        self.counts[kind] += 1
        for side in ("before", "after"):
            if kind.startswith(f"worker dies {side}"):
                self.crash_points[f"{side} {where}"] += 1
