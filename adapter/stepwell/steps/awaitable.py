"""What an async step call returns: a coroutine whose work has begun already."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, TypeVar

from stepwell.replaying.replay import RequestedStep

T = TypeVar("T")

Pending = Coroutine[Any, Any, T]
"""What an async step call returns: await it now, later or twice, or hand it to gather, create_task or a TaskGroup."""


class StepFuture(asyncio.Future[Any]):
    """The result of ``step``, once it has one.

    ``where`` is the line that asked for it, as ``file:line``. ``awaited``: the code has waited for it, in whatever way.
    """

    def __init__(self, step: RequestedStep | None, *, loop: asyncio.AbstractEventLoop, where: str = "") -> None:
        super().__init__(loop=loop)
        self.step = step
        self.where = where
        self.awaited = False

    @property
    def may_raise(self) -> bool:
        """Whether what ends the step may make it raise, without this side knowing of it first."""
        return self.step is not None and self.step.call.may_raise


class PendingStep(Coroutine[Any, Any, Any]):
    """A step call. Anything in asyncio takes it, now or later, once or several times, and it may be dropped.

    It is no future itself: asyncio refuses futures where it wants coroutines, and the other way round.
    """

    __slots__ = ("future",)

    def __init__(self, future: StepFuture) -> None:
        self.future = future

    def __await__(self) -> Generator[Any, Any, Any]:
        self.future.awaited = True
        return self.future.__await__()

    def send(self, value: Any, /) -> Any:
        """Drive the wait, as a task does; it keeps no state, so that several tasks may."""
        self.future.awaited = True
        if self.future.done():
            raise StopIteration(self.future.result())
        self.future._asyncio_future_blocking = True  # what a future does where it is awaited
        return self.future

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None, /) -> Any:
        """Raise at the wait, as a task does when it is cancelled; cancelling the wait gives the step up."""
        error = kind if isinstance(kind, BaseException) else kind() if value is None else value
        if isinstance(error, asyncio.CancelledError):
            self.future.cancel()
        raise error if traceback is None else error.with_traceback(traceback)

    def close(self) -> None:
        """Nothing to clean up: an abandoned wait holds no resources."""
