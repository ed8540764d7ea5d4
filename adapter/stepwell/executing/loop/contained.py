"""A coroutine whose exits stay in its task: asyncio lets them end the whole event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context, ContextVar
from types import TracebackType
from typing import Any, Final

from stepwell.executing.interruption import ends_process

IN_BODY: Final[ContextVar[bool]] = ContextVar("stepwell_in_body", default=False)
"""Whether the tasks that are started in a context are those of a step's body."""


def is_body(context: Context | None) -> bool:
    """Whether a context, or the current one, is that of a step's body."""
    return IN_BODY.get() if context is None else context.get(IN_BODY, False)


class Contained(Coroutine[Any, Any, Any]):
    """``inner``, whose SystemExit or KeyboardInterrupt is raised in a group of its own, unless a signal raised it.

    Who awaits the task gets the group as any other failure. It tells as the exit that is in it.
    """

    def __init__(self, inner: Coroutine[Any, Any, Any]) -> None:
        self.inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.inner.__await__()

    def send(self, value: Any, /) -> Any:
        """Resume it."""
        try:
            return self.inner.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise _grouped(error) from None

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None, /) -> Any:
        """Resume it with an exception."""
        error = kind if isinstance(kind, BaseException) else kind() if value is None else value
        try:
            return self.inner.throw(error)
        except (SystemExit, KeyboardInterrupt) as raised:
            raise _grouped(raised) from None

    def close(self) -> None:
        """End it."""
        self.inner.close()


def coroutine_of(task: asyncio.Task[Any]) -> Any:
    """What a task was started with."""
    coro = task.get_coro()
    return coro.inner if isinstance(coro, Contained) else coro


def _grouped(error: BaseException) -> BaseException:
    return error if ends_process(error) else BaseExceptionGroup("a task wants to end the process", [error])
