"""The steps that functions of the corpus are made of, whoever answers for them: our adapter, or a tiny SDK.

Each says what its memo must give. What an event, a signal or an invocation gives is read from the memo, which the
checkers compare with what really happened; what a body gives is what the code says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from stepwell.wire.ids import hash_step_id

Memos = Mapping[str, Any]
"""The memos of a run by hashed step id."""


class FailsError(Exception):
    """A function is expected to fail."""


class MissingError(Exception):
    """A function cannot have got here: it needs a step that was never journaled."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value that depends on who wins a race."""

    values: Sequence[Any]


class Narrow(StrEnum):
    """The conditions of waits and cancellations, as expressions; the first one is none."""

    ALL = ""
    SAME_USER = "event.data.user == async.data.user"
    LARGER = "async.data.n > event.data.n"
    SAME_USER_AND_LARGE = "async.data.user == event.data.user && async.data.n >= 3"
    THREE = "async.data.n == 3"
    SAME_USER_OR_SEVEN = "async.data.user == event.data.user || async.data.n == 7"

    def accepts(self, trigger: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
        """What the expression says, told without it: ``trigger`` and ``data`` are the data of the two events."""
        same = "user" in data and "user" in trigger and data["user"] == trigger["user"]
        match self:
            case Narrow.ALL:
                return True
            case Narrow.SAME_USER:
                return same
            case Narrow.LARGER:
                return "n" in data and ("n" not in trigger or data["n"] > trigger["n"])
            case Narrow.SAME_USER_AND_LARGE:
                return same and "n" in data and data["n"] >= 3
            case Narrow.THREE:
                return data.get("n") == 3
            case Narrow.SAME_USER_OR_SEVEN:
                return same or data.get("n") == 7


def matching_data(narrow: Narrow, trigger: Mapping[str, Any]) -> dict[str, Any]:
    """Data that a condition accepts, as far as any does."""
    user = {"user": trigger["user"]} if "user" in trigger else {}
    return {**user, "n": 3 if narrow is Narrow.THREE else 7}


@dataclass(frozen=True, slots=True)
class Do:
    """A body, ``times`` over under one id, failing in its first ``fails`` attempts."""

    name: str
    fails: int = 0
    times: int = 1


@dataclass(frozen=True, slots=True)
class Nap:
    """A sleep."""

    name: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class EventWait:
    """A wait for an event. ``lookback``: how far back events count, in ms, or ``run``."""

    name: str
    event: str
    narrow: Narrow
    timeout_ms: int
    lookback: int | Literal["run"] | None = None


@dataclass(frozen=True, slots=True)
class SignalWait:
    """A wait for a signal."""

    name: str
    signal: str
    timeout_ms: int
    replaces: bool


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call of another function of the world, or of one that is not there.

    ``abandons``: the invoked run goes on when this one is cancelled.
    """

    name: str
    function: str
    timeout_ms: int
    abandons: bool = False


@dataclass(frozen=True, slots=True)
class SendEvent:
    """A body that sends an event about the run's own user."""

    name: str
    event: str
    n: int


@dataclass(frozen=True, slots=True)
class SendSignal:
    """A body that sends a signal."""

    name: str
    signal: str


Wait = EventWait | SignalWait | Invocation
Step = Do | Nap | EventWait | SignalWait | Invocation | SendEvent | SendSignal

ABSENT_FUNCTION: Final = "sim-absent"
WAIT_EVENTS: Final = ("sim/poke", "sim/nudge")
SIGNALS: Final = ("gate", "door")


def labels(step: Step) -> list[str]:
    """The ids a step has in a run, loops counted."""
    times = step.times if isinstance(step, Do) else 1
    return [f"{step.name}:{index}" if index else step.name for index in range(times)]


def longest_ms(step: Step) -> int:
    """How long a step waits at most, failures apart."""
    match step:
        case Nap():
            return step.duration_ms
        case EventWait() | SignalWait() | Invocation():
            return step.timeout_ms
        case _:
            return 0


def given(step: Step, memos: Memos, max_attempts: int) -> Any:
    """What a step gives its function. Raises FailsError when it raises there, MissingError when it is not journaled."""
    if isinstance(step, Do):
        return [_done(step, label, memos, max_attempts) for label in labels(step)]
    memo = _memo(step.name, memos)
    match step:
        case Nap():
            return None
        case EventWait():
            return None if memo is None else memo["id"]
        case SignalWait():
            return None if memo is None else _data(memo)["data"]
        case _:
            return _data(memo)


def _done(step: Do, label: str, memos: Memos, max_attempts: int) -> str:
    _memo(label, memos)
    if step.fails >= max_attempts:
        raise FailsError(label)
    return label.upper()


def _memo(label: str, memos: Memos) -> Any:
    step_id = hash_step_id(label)
    if step_id not in memos:
        raise MissingError(label)
    return memos[step_id]


def _data(memo: Any) -> Any:
    if "error" in memo:
        raise FailsError(memo["error"]["message"])
    return memo["data"]


def matches(expected: Any, found: Any) -> bool:
    """Whether a value is one that was expected."""
    match expected:
        case OneOf(values):
            return any(matches(value, found) for value in values)
        case list():
            return (
                isinstance(found, list)
                and len(found) == len(expected)
                and all(matches(*pair) for pair in zip(expected, found, strict=True))
            )
        case _:
            return bool(expected == found)
