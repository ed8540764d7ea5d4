"""What step calls need from whatever runs the function they are in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from stepwell.steps.awaitable import Pending
from stepwell.steps.calls import SendEvents, TypedStepCall
from stepwell.steps.signals import SendSignal

T = TypeVar("T")


class AsyncHost(Protocol):
    """What runs an ``async def`` function."""

    def request(self, call: TypedStepCall[T]) -> Pending[T]:
        """The pending result of a step call."""
        ...


class SyncHost(Protocol):
    """What runs a ``def`` function."""

    def request(self, call: TypedStepCall[T]) -> T:
        """The result of a step call; when it is not stored yet this unwinds the function instead."""
        ...

    def parallel(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of ``branches``, in order."""
        ...


class Outside(Protocol):
    """What step calls need from outside the function: a clock, and ways to send."""

    @property
    def now_ms(self) -> Callable[[], int]:
        """The clock."""
        ...

    @property
    def send(self) -> SendEvents:
        """Sends events."""
        ...

    @property
    def send_signal(self) -> SendSignal:
        """Sends a signal."""
        ...
