"""What an async step call returns: a future that also passes for a coroutine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, TypeVar

from stepwell.replay import RequestedStep

T = TypeVar("T")


class StepFuture(asyncio.Future[T], Coroutine[Any, Any, T]):
    """The pending result of one step.

    As a future it may be awaited later, twice or never, and goes into ``gather`` without a wrapping task; as a
    coroutine it goes into ``create_task`` and ``TaskGroup``. ``step`` is None once the call has ended.
    """

    def __init__(self, step: RequestedStep | None, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.step = step
        self._waiter: Generator[Any, None, T] | None = None

    def send(self, value: Any, /) -> Any:
        """Drive the wait, as a task does."""
        return self._waiting().send(value)

    def throw(self, kind: Any, value: BaseException | object = None, traceback: TracebackType | None = None, /) -> Any:
        """Raise at the wait, as a task does when it is cancelled."""
        error = kind if isinstance(kind, BaseException) else value if isinstance(value, BaseException) else kind()
        return self._waiting().throw(error.with_traceback(traceback))

    def close(self) -> None:
        """Nothing to clean up: an abandoned wait holds no resources."""

    def _waiting(self) -> Generator[Any, None, T]:
        if self._waiter is None:
            self._waiter = self.__await__()
        return self._waiter
