"""The step calls of a function: thin faces over ``calls``, one for ``async def`` functions and one for ``def``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from stepwell import calls
from stepwell.calls import Duration, SendEvents, StepId
from stepwell.event import Event
from stepwell.replay import StepCall

P = ParamSpec("P")
T = TypeVar("T")

Pending = Coroutine[Any, Any, T]
"""What an async step call returns: await it now, later or twice, or hand it to gather, create_task or a TaskGroup."""


class AsyncHost(Protocol):
    """What runs an ``async def`` function."""

    def request(self, call: StepCall) -> Pending[Any]:
        """The pending result of a step call."""


class SyncHost(Protocol):
    """What runs a ``def`` function."""

    def request(self, call: StepCall) -> Any:
        """The result of a step call; when it is not stored yet this unwinds the function instead."""

    def parallel(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of ``branches``, in order."""


class Step:
    """Durable steps of an ``async def`` function.

    A step starts when it is called, in the order of the calls, not when it is awaited. Each ``step`` is an id, or
    StepOptions with a policy; an id may repeat. Results are JSON, given back in the type the callable is annotated
    with. A step that failed for good raises StepError where it is awaited. What is written wrongly raises
    DefinitionError at the call.
    """

    def __init__(self, host: AsyncHost, run_id: str, send: SendEvents, now_ms: Callable[[], int]) -> None:
        self._host = host
        self._run_id = run_id
        self._send = send
        self._now_ms = now_ms

    @overload
    def run(self, step: StepId, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]: ...
    @overload
    def run(self, step: StepId, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]: ...
    def run(self, step: StepId, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pending[Any]:
        """Execute ``fn(*args, **kwargs)`` once and keep its result. A plain ``fn`` runs in a thread."""
        return self._host.request(calls.run_call(step, fn, args, kwargs))

    def sleep(self, step: StepId, duration: Duration) -> Pending[None]:
        """Wait for ``"1h30m"``, a timedelta or a number of seconds, up to 366 days; nothing runs meanwhile."""
        return self._host.request(calls.sleep_call(step, duration))

    def sleep_until(self, step: StepId, when: dt.datetime | str) -> Pending[None]:
        """Wait until an aware datetime or an ISO time (UTC when it names no zone)."""
        return self._host.request(calls.sleep_until_call(step, when, self._now_ms()))

    def send_event(self, step: StepId, events: Event | Sequence[Event]) -> Pending[list[str]]:
        """Send events once; gives their internal ids in order. Raises EventError for a malformed event."""
        return self._host.request(calls.send_event_call(step, events, self._run_id, self._send))


class SyncStep:
    """Durable steps of a ``def`` function: the same calls as Step, each giving its result directly."""

    def __init__(self, host: SyncHost, run_id: str, send: SendEvents, now_ms: Callable[[], int]) -> None:
        self._host = host
        self._run_id = run_id
        self._send = send
        self._now_ms = now_ms

    @overload
    def run(self, step: StepId, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def run(self, step: StepId, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    def run(self, step: StepId, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Execute ``fn(*args, **kwargs)`` once and keep its result."""
        return self._host.request(calls.run_call(step, fn, args, kwargs))

    def sleep(self, step: StepId, duration: Duration) -> None:
        """Wait for ``"1h30m"``, a timedelta or a number of seconds, up to 366 days; nothing runs meanwhile."""
        self._host.request(calls.sleep_call(step, duration))

    def sleep_until(self, step: StepId, when: dt.datetime | str) -> None:
        """Wait until an aware datetime or an ISO time (UTC when it names no zone)."""
        self._host.request(calls.sleep_until_call(step, when, self._now_ms()))

    def send_event(self, step: StepId, events: Event | Sequence[Event]) -> list[str]:
        """Send events once; gives their internal ids in order. Raises EventError for a malformed event."""
        ids: list[str] = self._host.request(calls.send_event_call(step, events, self._run_id, self._send))
        return ids

    def parallel(self, *branches: Callable[[], Any] | Sequence[Callable[[], Any]]) -> list[Any]:
        """Run branches side by side; gives their results in order.

        ``a, b = step.parallel(lambda: step.run("a", fa), lambda: step.run("b", fb))``, or one sequence of branches.
        A branch may hold any number of steps. When branches raise, the exception of the first of them in order is
        raised once every branch has ended.
        """
        return self._host.parallel([branch for item in branches for branch in _flat(item)])


def _flat(item: Callable[[], Any] | Sequence[Callable[[], Any]]) -> Sequence[Callable[[], Any]]:
    return [item] if callable(item) else item
