"""The tasks a function starts, noted as they start: looking for them among all tasks of a busy process costs too much.

asyncio's one hook for this is the loop's task factory. It is put around whatever factory the loop has, once, and does
nothing for tasks that are not a function's.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any, Protocol


class Starter(Protocol):
    """Who wants to know of the tasks that are started in its context."""

    def note(self, task: asyncio.Future[Any]) -> None:
        """Take note of a task that was started."""


STARTER: contextvars.ContextVar[Starter | None] = contextvars.ContextVar("stepwell_starter", default=None)
"""Whose tasks those started in a context are."""


class _NotingFactory:
    """Starts tasks as the factory before it does, and notes those of functions."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        task = asyncio.Task(coro, loop=loop, **options) if self._before is None else self._before(loop, coro, **options)
        context = options.get("context")
        starter = STARTER.get() if context is None else context.get(STARTER)
        if starter is not None:
            starter.note(task)
        return task


def note_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """See to it that tasks started in ``loop`` are noted from now on. Doing so again changes nothing."""
    factory = loop.get_task_factory()
    if not isinstance(factory, _NotingFactory):
        loop.set_task_factory(_NotingFactory(factory))
