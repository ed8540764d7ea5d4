"""What a task waits for that is neither a step nor a part of its function: I/O, and work in threads.

asyncio's futures do not say who will resolve them. What can be seen is where a task stands: inside asyncio's own I/O,
in a method of something that holds a transport, a stream or a socket, in a coroutine that is not Python's, or at a
future that is chained to a thread's. Anything else is a wait for another part of the function.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

from stepwell.executing.loop.waiting import AnyFuture, callbacks_of, frames_of

_WAITING: Final = frozenset(
    {
        "asyncio.locks",
        "asyncio.queues",
        "asyncio.tasks",
        "asyncio.taskgroups",
        "asyncio.timeouts",
        "asyncio.futures",
        "asyncio.mixins",
        "asyncio.runners",
    }
)
"""The modules of asyncio in which a task waits for other tasks; in the others it does I/O."""

_IO: Final = (
    asyncio.BaseTransport,
    asyncio.BaseProtocol,
    asyncio.StreamReader,
    asyncio.StreamWriter,
    socket.socket,
)


def waits_outside(waiter: AnyFuture, task: asyncio.Task[Any] | None) -> bool:
    """Whether ``waiter``, at which ``task`` stands, is resolved by I/O or by a thread."""
    return _is_of_a_thread(waiter) or (task is not None and _does_io(task))


def _is_of_a_thread(future: AnyFuture) -> bool:
    return any(getattr(callback, "__qualname__", "").startswith("_chain_future.") for callback in callbacks_of(future))


def _does_io(task: asyncio.Task[Any]) -> bool:
    return any(frame is None or _is_in_asyncios_io(frame) or _belongs_to_io(frame) for frame in frames_of(task))


def _is_in_asyncios_io(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.startswith("asyncio.") and module not in _WAITING


def _belongs_to_io(frame: FrameType) -> bool:
    """Whether the frame is of a method of something that does I/O."""
    names = frame.f_code.co_varnames
    owner = frame.f_locals.get(names[0]) if frame.f_code.co_argcount else None
    if owner is None:
        return False
    return isinstance(owner, _IO) or any(isinstance(value, _IO) for value in _attributes(owner))


def _attributes(owner: Any) -> Iterator[Any]:
    yield from getattr(owner, "__dict__", {}).values()
    for kind in type(owner).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            yield getattr(owner, name, None)
