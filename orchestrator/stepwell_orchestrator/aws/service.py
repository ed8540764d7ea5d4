"""The one way to an AWS service: every call is carried off the event loop, counted, and fails in one way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Any, Final, Protocol, TypeVar

from stepwell_orchestrator.errors import StoreError

T = TypeVar("T")

Carry = Callable[[Callable[[], dict[str, Any]]], Awaitable[dict[str, Any]]]
"""Does blocking work and hands its result over."""

_THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)


class AwsError(StoreError):
    """A service refused a call, or could not be reached. ``code`` is the service's, or the client library's name.

    ``response`` is what came back, whole: the old item of a failed condition, the reasons of a cancelled transaction.
    """

    def __init__(self, service: str, operation: str, code: str, message: str, response: Mapping[str, Any]) -> None:
        super().__init__(f"{service} {operation}: {code}: {message}")
        self.code = code
        self.response = response

    @property
    def throttled(self) -> bool:
        """Whether the service had enough of us, even after the client's own retries."""
        return self.code in _THROTTLED


class Meter(Protocol):
    """Is told of every call that a service answered, also with an error. It must not raise."""

    def count(self, service: str, operation: str, parameters: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        """One call."""


class Service:
    """One service's client. ``client`` is a boto3 client: its retries and timeouts are its maker's business."""

    def __init__(self, name: str, client: Any, carry: Carry, meter: Meter | None = None) -> None:
        self.name = name
        self._client = client
        self._carry = carry
        self._meter = meter

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call, ``operation`` spelled as boto3 does (``put_item``). Raises AwsError."""
        from botocore.exceptions import BotoCoreError, ClientError

        method = getattr(self._client, operation)
        try:
            response = await self._carry(lambda: method(**parameters))
        except ClientError as error:
            self._count(operation, parameters, error.response)
            details = error.response.get("Error", {})
            code, message = str(details.get("Code", "Unknown")), str(details.get("Message", ""))
            raise AwsError(self.name, operation, code, message, error.response) from error
        except BotoCoreError as error:
            raise AwsError(self.name, operation, type(error).__name__, str(error), {}) from error
        self._count(operation, parameters, response)
        return response

    def _count(self, operation: str, parameters: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        if self._meter is not None:
            self._meter.count(self.name, operation, parameters, response)


def in_threads(executor: Executor) -> Carry:
    """Carries calls on an executor's threads; boto3's clients may be used by several at once."""

    async def carry(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return await asyncio.get_running_loop().run_in_executor(executor, work)

    return carry


async def inline(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Carries calls where they are made: for stores in this process, whose answers are immediate."""
    return work()
