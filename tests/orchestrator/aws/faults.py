"""Faults between a backend and its services: what a client library and a network do to calls, on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

Do = Callable[[], dict[str, Any]]
Fault = Callable[[Do, str], dict[str, Any]]
"""Does a call, or not, and answers in its place."""


def refused(code: str, **response: Any) -> Fault:
    """The service refuses the call: nothing is done."""

    def fault(_: Do, operation: str) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": code, "Message": f"injected {code}"}, **response}, operation)

    return fault


def conflict_in_transaction(count: int) -> Fault:
    """The service cancels a transaction of ``count`` actions because another one is at the first one's item."""
    reasons = [{"Code": "TransactionConflict"}, *[{"Code": "None"}] * (count - 1)]
    return refused("TransactionCanceledException", CancellationReasons=reasons)


def lost_call(_: Do, operation: str) -> dict[str, Any]:
    """The call never arrives, and the client library gives up."""
    raise ReadTimeoutError(endpoint_url=operation)


def lost_reply(do: Do, operation: str) -> dict[str, Any]:
    """The call is done, but its reply is lost, and the client library gives up."""
    do()
    raise ReadTimeoutError(endpoint_url=operation)


def repeated(do: Do, _: str) -> dict[str, Any]:
    """The call is done, its reply is lost, and the client library repeats it: the second reply is what is seen."""
    do()
    return do()


@dataclass
class FaultyClient:
    """A client whose calls go wrong as told: the faults of an operation, one a call; then it is well again."""

    client: Any
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def plan(self, operation: str, *faults: Fault) -> None:
        """What the next calls of an operation meet."""
        self.faults.setdefault(operation, []).extend(faults)

    def count(self, operation: str) -> int:
        """How often an operation was asked for."""
        return sum(name == operation for name, _ in self.calls)

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        method = getattr(self.client, operation)

        def call(**parameters: Any) -> dict[str, Any]:
            self.calls.append((operation, parameters))
            planned = self.faults.get(operation)
            return planned.pop(0)(lambda: method(**parameters), operation) if planned else method(**parameters)

        return call
