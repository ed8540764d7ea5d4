"""What a function starts in its event loop, noted as it starts: tasks and timers.

Looking for them among all of a busy process costs too much. What runs in the context of a function's call finds its
Starter there. asyncio's one hook for tasks is the loop's task factory, which is put around whatever factory the loop
has, once. For timers there is none, so the two methods of the loop that set them are replaced on the loop itself, once.
Neither does anything for what is not a function's.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any, Final, Protocol

SetTimer = Callable[..., asyncio.TimerHandle]
"""``loop.call_at``: a time of the loop's clock in seconds, a callback and its arguments."""


class Starter(Protocol):
    """Who is told of what is started in its context."""

    def note_task(self, task: asyncio.Future[Any]) -> None:
        """Take note of a task that was started."""

    def set_timer(self, set_timer: SetTimer, when_s: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Set a timer, by ``set_timer`` or in a way of its own; gives what can be cancelled, as a TimerHandle can."""


STARTER: Final[contextvars.ContextVar[Starter | None]] = contextvars.ContextVar("stepwell_starter", default=None)
"""Whose the tasks and timers are that are started in a context."""


class _NotingFactory:
    """Starts tasks as the factory before it does, and notes those of functions."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        task = asyncio.Task(coro, loop=loop, **options) if self._before is None else self._before(loop, coro, **options)
        starter = starter_in(options.get("context"))
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
    set_timer = loop.call_at

    def call_at(
        when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        starter = starter_in(context)
        if starter is None:
            return set_timer(when, callback, *args, context=context)
        return starter.set_timer(set_timer, when, callback, *args)

    def call_later(
        delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        return call_at(loop.time() + delay, callback, *args, context=context)

    vars(loop).update(call_at=call_at, call_later=call_later)
