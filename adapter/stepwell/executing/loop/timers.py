"""Which of the loop's timers are waits of the function, and by what name its journal knows them.

``asyncio.timeout``, ``timeout_at``, ``wait_for``, ``wait(timeout=)``, ``as_completed(timeout=)`` and ``sleep``, and
anyio's cancel scopes, all come down to ``loop.call_at``. What they set is recognised by its callback. Their name is
made of what the author wrote and of the function it stands in, ``asyncio.timeout in fulfil``: it must be the same in
every replay, and timers that libraries set while they do I/O must not count along.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from stepwell.errors import DefinitionError
from stepwell.executing.loop.waiting import AnyFuture, tasks_waiting_for
from stepwell.values.source_lines import author_frame, place_of

_LIBRARIES: Final = frozenset({"asyncio", "anyio", "contextlib", "stepwell"})
"""Their frames are passed over on the way to what the author wrote."""

_BOTTOM: Final = frozenset({"asyncio.events", "asyncio.base_events", "asyncio.runners", "uvloop"})
"""Below these there is no function any more."""

_CONNECTING: Final = frozenset({"asyncio.staggered", "anyio._core._sockets"})
"""They wait for one address before they try the next: that is I/O, whoever asked for it."""

_SPELLED: Final = {"__aenter__": "timeout", "reschedule": "timeout", "_wait": "wait", "__enter__": "CancelScope"}


@dataclass(frozen=True, slots=True)
class Wait:
    """A timer that a function waits with.

    ``fire`` is what it does when its time is up; ``guarded`` gives the tasks it would wake or cancel by that.
    """

    name: str
    fire: Callable[[], Any]
    guarded: Callable[[], Iterable[asyncio.Task[Any]]]


def wait_of(callback: Callable[..., Any], args: tuple[Any, ...]) -> Wait | None:
    """The wait that a timer set right now is of; None for one that is no wait of the function's."""
    found = _recognised(callback, args)
    if found is None:
        return None
    fire, guarded = found
    name = _name(inspect.currentframe())
    return None if name is None else Wait(name, fire, guarded)


def refuse_timer_of(package: str) -> None:
    """Refuse a timer that code of ``package``, the author's, sets by the loop's own methods. Raises DefinitionError.

    Those of libraries pass: they have to do with I/O, which is the business of one call.
    """
    setter = author_frame()
    if setter is not None and _module(setter).partition(".")[0] == package:
        raise DefinitionError(
            f"{place_of(setter)}: a timer of the event loop counts the seconds of one call of the function, not those "
            "of its run: await asyncio.sleep(...) or step.sleep(...) instead, in a task of its own if need be"
        )


def _recognised(
    callback: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Callable[[], Any], Callable[[], Iterable[asyncio.Task[Any]]]] | None:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Timeout):
        return callback, lambda: _tasks(owner, "_task")
    if type(owner).__name__ == "CancelScope" and type(owner).__module__.startswith("anyio."):
        return lambda: _end_scope(owner), lambda: _tasks(owner, "_tasks")
    module, name = getattr(callback, "__module__", ""), getattr(callback, "__qualname__", "")
    if module in ("asyncio.futures", "asyncio.tasks") and name in ("_set_result_unless_cancelled", "_release_waiter"):
        waiter: AnyFuture = args[0]
        return lambda: callback(*args), lambda: tasks_waiting_for(waiter)
    if module == "asyncio.tasks" and name.startswith(("as_completed.", "_AsCompletedIterator.")):
        return lambda: callback(*args), tuple
    return None


def _tasks(owner: Any, attribute: str) -> Iterable[asyncio.Task[Any]]:
    held = getattr(owner, attribute, None)
    return [held] if isinstance(held, asyncio.Task) else list(held or ())


def _end_scope(scope: Any) -> None:
    """End an anyio scope as its deadline does, which it compares with the clock itself."""
    scope.deadline = asyncio.get_running_loop().time()


def _name(frame: FrameType | None) -> str | None:
    """What the author wrote to set this timer, and where; None for a timer of something that connects."""
    kind = ""
    while frame is not None:
        module = _module(frame)
        if module in _CONNECTING:
            return None
        if module in _BOTTOM or module.partition(".")[0] == "uvloop":
            return kind
        library = module.partition(".")[0]
        if library not in _LIBRARIES and not frame.f_code.co_name.startswith("<"):
            return f"{kind} in {frame.f_code.co_qualname}"
        if library in ("asyncio", "anyio"):
            spelled = frame.f_code.co_name
            kind = f"{library}.{_SPELLED.get(spelled, spelled)}"
        frame = frame.f_back
    return kind


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
