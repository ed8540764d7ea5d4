"""Whether anything of a function is about to run in its event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from stepwell.executing.loop.starter import STARTER, Starter


def sees_schedule(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether ``loop`` lets itself be looked at; one written in C does not."""
    return hasattr(loop, "_ready")


def is_scheduled(loop: asyncio.AbstractEventLoop, starter: Starter) -> bool:
    """Whether a callback of the function of ``starter`` is next in turn."""
    ready: list[asyncio.Handle] = list(getattr(loop, "_ready", ()))
    return any(_belongs_to(handle, starter) for handle in ready)


def _belongs_to(handle: asyncio.Handle, starter: Starter) -> bool:
    if handle.cancelled() or _spins(getattr(handle, "_callback", None)):
        return False
    context = getattr(handle, "_context", None)
    return context is not None and context.get(STARTER) is starter


def _spins(callback: Any) -> bool:
    """Anyio repeats a cancellation for as long as a task of its scope lives, which says nothing of the task."""
    return getattr(callback, "__name__", "") == "_deliver_cancellation"
