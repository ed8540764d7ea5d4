"""What a function starts in its event loop, noted as it starts: tasks and timers.

Looking for them among all of a busy process costs too much. What runs in the context of a function's call finds its
Starter there. asyncio's one hook for tasks is the loop's task factory, which is put around whatever factory the loop
has, once. For timers there is none, so the two methods of the loop that set them are replaced on the loop itself, once.
Neither does anything for what is not a function's.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable
from typing import Any, Final, Protocol

from stepwell.executing.loop.contained import Contained, is_body

SetTimer = Callable[..., asyncio.TimerHandle]


class Starter(Protocol):
    """Who is told of what is started in its context."""

    def note_task(self, task: asyncio.Future[Any]) -> None:
        """Take note of a task that was started."""

    def set_timer(self, when_s: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Set a timer, by the loop or in a way of its own; gives what can be cancelled, as a TimerHandle can."""


STARTER: Final[contextvars.ContextVar[Starter | None]] = contextvars.ContextVar("stepwell_starter", default=None)
"""Whose the tasks and timers are that are started in a context."""


class _NotingFactory:
    """Starts tasks as the factory before it does, and notes those of functions. No task of theirs ends the loop."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        context = options.get("context")
        starter = starter_in(context)
        if inspect.iscoroutine(coro) and (starter is not None or is_body(context)):
            coro = Contained(coro)
        task = asyncio.Task(coro, loop=loop, **options) if self._before is None else self._before(loop, coro, **options)
        if starter is not None:
            starter.note_task(task)
        return task


def starter_in(context: contextvars.Context | None) -> Starter | None:
    """The Starter of a context, or of the current one; None where no function runs."""
    return STARTER.get() if context is None else context.get(STARTER)


def note_what_functions_start(loop: asyncio.AbstractEventLoop) -> None:
    """See to it that what functions start in ``loop`` is noted from now on. Doing so again changes nothing."""
    factory = loop.get_task_factory()
    if not isinstance(factory, _NotingFactory):
        loop.set_task_factory(_NotingFactory(factory))
    if "call_at" not in vars(loop):
        _note_timers(loop)


def _note_timers(loop: asyncio.AbstractEventLoop) -> None:
    vars(loop).update(
        call_at=_NotingTimers(loop, loop.call_at), call_later=_NotingTimers(loop, loop.call_later, later=True)
    )


class _NotingTimers:
    """Sets timers as ``method`` of the loop does, and asks the Starter for those of functions.

    One of the loop's two methods may be made of the other: what is set meanwhile has been asked for already.
    """

    asking = False

    def __init__(self, loop: asyncio.AbstractEventLoop, method: SetTimer, *, later: bool = False) -> None:
        self._loop = loop
        self._method = method
        self._later = later

    def __call__(
        self, time_s: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        starter = starter_in(context)
        if starter is None or _NotingTimers.asking:
            return self._method(time_s, callback, *args, context=context)
        _NotingTimers.asking = True
        try:
            when_s = self._loop.time() + time_s if self._later else time_s
            return starter.set_timer(when_s, callback, *args)
        finally:
            _NotingTimers.asking = False
