"""What an asyncio task waits for. asyncio has no public way to ask this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType, coroutine
from typing import Any

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


def waiter_of(task: asyncio.Task[Any]) -> AnyFuture | None:
    """The future ``task`` waits for; None when it is about to run."""
    waiter: AnyFuture | None = getattr(task, "_fut_waiter", None)
    return waiter


def has_unseen_failure(future: AnyFuture) -> bool:
    """Whether ``future`` has failed and nobody has asked for what it raised."""
    return bool(getattr(future, "_log_traceback", False))


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


def all_joined_by(task: asyncio.Task[Any]) -> tuple[list[AnyFuture], bool]:
    """What a task waits for until the last of it is done, in a TaskGroup or ``asyncio.wait``.

    With it, whether a failure among it ends that wait no sooner.
    """
    frame = _innermost_frame(task)
    if frame is None:
        return [], False
    module, names = frame.f_globals.get("__name__"), frame.f_locals
    if module == "asyncio.taskgroups":
        return list(names["self"]._tasks), False
    if module == "asyncio.tasks" and frame.f_code.co_name == "_wait" and names["return_when"] == asyncio.ALL_COMPLETED:
        return list(names["fs"]), True
    return [], False


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


def frames_of(task: asyncio.Task[Any]) -> Iterator[FrameType | None]:
    """The frames a task waits in, from its coroutine inwards; None stands for one that is not Python's."""
    current: Any = getattr(task.get_coro(), "inner", task.get_coro())
    while current is not None:
        if isinstance(current, CoroutineType):
            yield current.cr_frame
            current = current.cr_await
        elif isinstance(current, GeneratorType):
            yield current.gi_frame
            current = current.gi_yieldfrom
        elif isinstance(current, AsyncGeneratorType):
            yield current.ag_frame
            current = current.ag_await
        else:
            if hasattr(current, "cr_await"):
                yield None
            return


def _innermost_frame(task: asyncio.Task[Any]) -> FrameType | None:
    innermost: FrameType | None = None
    for frame in frames_of(task):
        innermost = frame
    return innermost
