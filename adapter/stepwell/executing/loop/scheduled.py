"""Whether anything of a function is about to run in its event loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from operator import attrgetter
from typing import Final

from stepwell.executing.loop.starter import STARTER, Starter

_context_of: Final[Callable[[asyncio.Handle], contextvars.Context]] = attrgetter("_context")


def sees_schedule(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether ``loop`` lets itself be looked at; one written in C does not."""
    return hasattr(loop, "_ready")


def is_scheduled(loop: asyncio.AbstractEventLoop, starter: Starter) -> bool:
    """Whether a callback of the function of ``starter`` is next in turn.

    In a busy process nearly all that is next is of others, so what tells them apart is asked first.
    """
    ready: list[asyncio.Handle] = list(getattr(loop, "_ready", ()))
    for handle, context in zip(ready, map(_context_of, ready), strict=True):
        if context.get(STARTER) is starter and not handle.cancelled() and not _spins(handle):
            return True
    return False


def _spins(handle: asyncio.Handle) -> bool:
    """Anyio repeats a cancellation for as long as a task of its scope lives, which says nothing of the task."""
    return getattr(getattr(handle, "_callback", None), "__name__", "") == "_deliver_cancellation"
