"""What an asyncio task waits for: the one place that looks inside asyncio.

asyncio has no public way to ask this, and a function must be told apart that waits for its steps alone from one that
is still busy. Whatever is not recognised counts as busy, which only costs patience.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from types import CoroutineType, FrameType, GeneratorType, coroutine
from typing import Any

from stepwell.steps.awaitable import StepFuture
from stepwell.values.closure_variables import closed_over

AnyFuture = asyncio.Future[Any]

_PEERS = frozenset({"asyncio.locks", "asyncio.queues"})
_ONE_FUTURE = frozenset({"wait_for", "_cancel_and_wait"})


@coroutine
def next_pass() -> Generator[None, None, None]:
    """Let everything that is ready in the loop run once."""
    yield


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs the calling code, if any does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@dataclass(slots=True)
class Survey:
    """What the tasks explored so far wait for.

    ``ready``: one of them is about to run. ``outside``: futures that something other than a step or another task of
    the function resolves, such as I/O and timers. ``seen`` holds every future on the way. ``indirect``: a task waits
    through another future, whose callbacks take passes of the loop to arrive. ``locked``: a task waits for a lock,
    event or queue, which is most likely up to another task of the function.
    """

    ready: bool = False
    indirect: bool = False
    locked: bool = False
    outside: list[AnyFuture] = field(default_factory=list)
    steps: set[StepFuture] = field(default_factory=set)
    seen: set[AnyFuture] = field(default_factory=set)

    def explore(self, *roots: AnyFuture) -> None:
        """Follow everything that ``roots`` wait for."""
        queue = list(roots)
        while queue:
            future = queue.pop()
            if future.done() or future in self.seen:
                continue
            self.seen.add(future)
            if isinstance(future, StepFuture):
                self.steps.add(future)
            elif isinstance(future, asyncio.Task):
                queue.extend(self._awaited_by(future))
            else:
                queue.extend(self._inside(future, None))

    def _awaited_by(self, task: asyncio.Task[Any]) -> Iterable[AnyFuture]:
        waiter = waiter_of(task)
        if waiter is None or waiter.done():
            self.ready = True
            return ()
        if isinstance(waiter, StepFuture):
            return (waiter,)
        self.indirect = True
        return (waiter,) if isinstance(waiter, asyncio.Task) else self._inside(waiter, task)

    def _inside(self, waiter: AnyFuture, task: asyncio.Task[Any] | None) -> Iterable[AnyFuture]:
        joined = gathered(waiter) or shielded(waiter) or (None if task is None else joined_by(task))
        if joined is None:
            self.outside.append(waiter)
            return ()
        self.locked = self.locked or not joined
        return joined


def waiter_of(task: asyncio.Task[Any]) -> AnyFuture | None:
    """The future ``task`` waits for; None when it is about to run."""
    waiter: AnyFuture | None = getattr(task, "_fut_waiter", None)
    return waiter


def callbacks_of(future: AnyFuture) -> list[Callable[..., Any]]:
    """What runs when ``future`` is done."""
    return [callback for callback, _ in getattr(future, "_callbacks", None) or ()]


def tasks_waiting_for(future: AnyFuture) -> list[asyncio.Task[Any]]:
    """The tasks that await ``future`` directly."""
    owners = (getattr(callback, "__self__", None) for callback in callbacks_of(future))
    return [owner for owner in owners if isinstance(owner, asyncio.Task)]


def gathered(future: AnyFuture) -> list[AnyFuture] | None:
    """The members of an ``asyncio.gather``."""
    members: list[AnyFuture] | None = getattr(future, "_children", None)
    return members


def keeps_exceptions(future: AnyFuture) -> bool:
    """Whether ``future`` is in an ``asyncio.gather`` that returns exceptions instead of raising them."""
    return any(closed_over(callback).get("return_exceptions") is True for callback in callbacks_of(future))


def shielded(future: AnyFuture) -> list[AnyFuture] | None:
    """What an ``asyncio.shield`` protects."""
    for callback in callbacks_of(future):
        if getattr(callback, "__qualname__", "").startswith("shield."):
            return list(_futures_of(callback))
    return None


def joined_by(task: asyncio.Task[Any]) -> list[AnyFuture] | None:
    """What a task waits for inside asyncio's own coroutines; None when it is not inside one that joins futures.

    A wait for a lock, event or queue joins nothing.
    """
    frame = _innermost_frame(task)
    module = "" if frame is None else frame.f_globals.get("__name__", "")
    if frame is None or not module.startswith("asyncio."):
        return None
    if module in _PEERS:
        return []
    function, names = frame.f_code.co_name, frame.f_locals
    if function == "_wait":
        return list(names["fs"])
    if function in _ONE_FUTURE:
        return [names["fut"]]
    if module == "asyncio.taskgroups":
        return list(names["self"]._tasks)
    return None


def dependants(futures: Iterable[AnyFuture]) -> Iterator[AnyFuture]:
    """The tasks and joined futures that ``futures`` are going to wake, however indirectly."""
    queue = list(futures)
    seen = set(queue)
    while queue:
        for callback in callbacks_of(queue.pop()):
            owner = getattr(callback, "__self__", None)
            for woken in [owner] if isinstance(owner, asyncio.Task) else _futures_of(callback):
                if woken not in seen:
                    seen.add(woken)
                    queue.append(woken)
                    yield woken


def _futures_of(callback: Callable[..., Any]) -> Iterator[AnyFuture]:
    return (content for content in closed_over(callback).values() if asyncio.isfuture(content))


def _innermost_frame(task: asyncio.Task[Any]) -> FrameType | None:
    current: Any = task.get_coro()
    frame: FrameType | None = None
    while True:
        if isinstance(current, CoroutineType):
            frame, current = current.cr_frame, current.cr_await
        elif isinstance(current, GeneratorType):
            frame, current = current.gi_frame, current.gi_yieldfrom
        else:
            return frame
