"""A bill: what the ledger counted and the functions that ran, in dollars, by what they are paid for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from stepwell_orchestrator.costing.durations import Assumptions, Invocation, gb_seconds
from stepwell_orchestrator.costing.ledger import Usage, Usages
from stepwell_orchestrator.costing.prices import Good, Prices, dollars

FIRED: Final = "fire"
"""The operation by which a ledger knows a schedule that fired: creating one costs nothing."""
EMPTY_RECEIVE: Final = "receive nothing"
_GB: Final = 1024**3


class Line(StrEnum):
    """What money is paid for."""

    WRITES = "table writes"
    READS = "table reads"
    PAYLOADS = "payloads"
    QUEUE = "queue"
    TIMERS = "timers"
    FUNCTIONS = "Stepwell's functions"
    APPS = "your functions"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class Work:
    """What was done: the calls, the functions that ran with how many invocations each, and the bytes logged."""

    usages: Usages
    invocations: tuple[tuple[Invocation, float], ...] = ()
    log_bytes: float = 0

    def total(self, *services: str) -> Usage:
        """All calls of these services; of all services when none is named."""
        return sum(
            (usage for (service, _), usage in self.usages.items() if service in services or not services), Usage()
        )

    def requests(self, service: str, *operations: str) -> float:
        """How many requests of these operations."""
        return sum(
            self.usages[service, operation].requests for operation in operations if (service, operation) in self.usages
        )

    @property
    def app_calls(self) -> float:
        """Call requests to apps."""
        return self.requests("lambda", "invoke")

    @property
    def messages(self) -> float:
        """Messages that the queue function was handed."""
        return sum(one.items * count for one, count in self.invocations if one.function == "queue")

    def times(self, factor: float) -> Work:
        """That much of it."""
        return Work(
            {key: usage * factor for key, usage in self.usages.items()},
            tuple((invocation, count * factor) for invocation, count in self.invocations),
            self.log_bytes * factor,
        )

    def plus(self, other: Work) -> Work:
        """Both."""
        keys = dict.fromkeys([*self.usages, *other.usages])
        none = Usage()
        return Work(
            {key: self.usages.get(key, none) + other.usages.get(key, none) for key in keys},
            (*self.invocations, *other.invocations),
            self.log_bytes + other.log_bytes,
        )

    def without(self, other: Work) -> Work:
        """What is left of it without the other."""
        return self.plus(other.times(-1))


@dataclass(frozen=True, slots=True)
class Rates:
    """What a bill goes by."""

    prices: Prices
    assumed: Assumptions = field(default_factory=Assumptions)


def bill(work: Work, rates: Rates) -> Mapping[Line, float]:
    """Dollars for each line, the largest first; what costs nothing is left out.

    Reading the keys is not in it: each process does it every few minutes, whatever it works on.
    """
    lines = {
        Line.WRITES: dollars(rates.prices, Good.WRITE_UNIT, work.total("dynamodb").write_units),
        Line.READS: dollars(rates.prices, Good.READ_UNIT, work.total("dynamodb").read_units),
        Line.PAYLOADS: dollars(rates.prices, Good.OBJECT_PUT, work.requests("s3", "put_object"))
        + dollars(rates.prices, Good.OBJECT_GET, work.requests("s3", "get_object")),
        Line.QUEUE: _queue(work, rates.prices),
        Line.TIMERS: dollars(rates.prices, Good.SCHEDULE, work.requests("scheduler", FIRED)),
        Line.FUNCTIONS: _functions((one for one in work.invocations if one[0].function != "app"), rates),
        Line.APPS: _functions((one for one in work.invocations if one[0].function == "app"), rates),
        Line.LOGS: dollars(rates.prices, Good.LOG_GB, work.log_bytes / _GB),
    }
    return {line: amount for line, amount in sorted(lines.items(), key=lambda one: -one[1]) if amount}


def _queue(work: Work, prices: Prices) -> float:
    """Every request, and for those with messages what a fair queue costs on top: all messages here have a group."""
    chunks = work.total("sqs").chunks
    grouped = chunks - work.usages.get(("sqs", EMPTY_RECEIVE), Usage()).chunks
    return dollars(prices, Good.QUEUE_REQUEST, chunks) + dollars(prices, Good.FAIR_QUEUE_REQUEST, grouped)


def _functions(invocations: Iterable[tuple[Invocation, float]], rates: Rates) -> float:
    return sum(
        count
        * (
            dollars(rates.prices, Good.INVOCATION, 1)
            + dollars(rates.prices, Good.GB_SECOND, gb_seconds(invocation, rates.assumed))
        )
        for invocation, count in invocations
    )
