"""The step calls of an ``async def`` function. A step kind is declared here, once.

Those of a ``def`` function, ``sync_step_kinds.py``, are generated from this file by ``make format``. So what is said of
a step kind holds for both: when something happens, not that it is awaited.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, overload

from stepwell.steps import calls, event_waits, invocations, signals
from stepwell.steps.awaitable import Pending
from stepwell.steps.calls import Duration, StepId
from stepwell.steps.event_waits import EventWait
from stepwell.steps.fetch import Request, Response, fetch_call
from stepwell.steps.hosts import AsyncHost, Outside
from stepwell.steps.inference import infer_call, wrap_call
from stepwell.steps.invocable import Invocable
from stepwell.steps.invocations import Invocation, OnParentCancel
from stepwell.steps.models import Model
from stepwell.steps.signals import OnConflict, Signal, SignalWait
from stepwell.steps.timeouts import Timeout
from stepwell.values.event import Event
from stepwell.values.event_names import EventName

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=Event)


class StepAI:
    """The AI steps of an ``async def`` function: ``step.ai``."""

    def __init__(self, host: AsyncHost) -> None:
        self._host = host

    def infer(self, step: StepId, *, model: Model, body: Mapping[str, Any]) -> Pending[Any]:
        """Let the server ask a model, and give the provider's answer as JSON; nothing of yours runs meanwhile.

        ``body`` is a request as the provider's reference has it. Raises StepError, named ``AIGatewayError``, when no
        attempt was answered with a status below 300.
        """
        return self._host.request(infer_call(step, model, body))

    @overload
    def wrap(self, step: StepId, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]: ...
    @overload
    def wrap(self, step: StepId, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]: ...
    def wrap(self, step: StepId, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pending[Any]:
        """Execute ``fn(*args, **kwargs)`` as ``step.run`` does, and mark the step as a call of an AI library."""
        return self._host.request(wrap_call(step, fn, args, kwargs))


class Step:
    """Durable steps of an ``async def`` function.

    A step starts when it is called, in the order of the calls, not when it is awaited. Each ``step`` is an id, or
    StepOptions with a policy; an id may repeat. Results are JSON, given back in the type the callable is annotated
    with. A step that failed for good raises StepError, and all that is raised for what became of a step is raised where
    it is awaited. What is written wrongly raises DefinitionError at the call.
    """

    def __init__(self, host: AsyncHost, run_id: str, outside: Outside) -> None:
        self._host = host
        self._run_id = run_id
        self._outside = outside

    @overload
    def run(self, step: StepId, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]: ...
    @overload
    def run(self, step: StepId, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Pending[T]: ...
    def run(self, step: StepId, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Pending[Any]:
        """Execute ``fn(*args, **kwargs)`` once and keep its result. A plain ``fn`` runs in a thread."""
        return self._host.request(calls.run_call(step, fn, args, kwargs))

    @property
    def ai(self) -> StepAI:
        """Steps that ask models."""
        return StepAI(self._host)

    def fetch(
        self,
        step: StepId,
        url: str,
        *,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        body: str | None = None,
    ) -> Pending[Response]:
        """Let the server make an HTTP request, and give the Response, whatever its status; nothing runs meanwhile.

        ``method`` is GET, or POST when there is ``json``, any JSON value, or ``body``, a text. Raises StepError, named
        ``GatewayError``, when no attempt got a response.
        """
        request = Request(url=url, method=method, headers=headers, json=json, body=body)
        return self._host.request(fetch_call(step, request))

    def sleep(self, step: StepId, duration: Duration) -> Pending[None]:
        """Wait for ``"1h30m"``, a timedelta or a number of seconds, up to 366 days; nothing runs meanwhile."""
        return self._host.request(calls.sleep_call(step, duration))

    def sleep_until(self, step: StepId, when: dt.datetime | str) -> Pending[None]:
        """Wait until an aware datetime or an ISO time with a time zone."""
        return self._host.request(calls.sleep_until_call(step, when, self._outside.now_ms()))

    def send_event(self, step: StepId, events: Event | Sequence[Event]) -> Pending[list[str]]:
        """Send events once; gives their internal ids in order. Raises EventError for a malformed event."""
        return self._host.request(calls.send_event_call(step, events, self._run_id, self._outside.send))

    @overload
    def wait_for_event(
        self,
        step: StepId,
        *,
        event: type[E],
        timeout: Timeout | None = None,
        match: str | None = None,
        if_: str | None = None,
        lookback: Duration | None = None,
    ) -> Pending[E | None]: ...
    @overload
    def wait_for_event(
        self,
        step: StepId,
        *,
        event: str,
        timeout: Timeout | None = None,
        match: str | None = None,
        if_: str | None = None,
        lookback: Duration | None = None,
    ) -> Pending[Event | None]: ...
    def wait_for_event(
        self,
        step: StepId,
        *,
        event: EventName,
        timeout: Timeout | None = None,
        match: str | None = None,
        if_: str | None = None,
        lookback: Duration | None = None,
    ) -> Pending[Any]:
        """Wait for an event by name or class; gives the event, or None when the timeout is over.

        ``timeout`` is a duration up to 366 days or an aware datetime; 30 days, with a warning, when left out.
        ``match="data.order_id"`` takes events that hold there what the triggering event does; ``if_`` is an
        expression over ``event`` (the triggering one) and ``async`` instead. Events count that the server received
        after the wait began, or since ``lookback``: ``"run"``, the run's start, or a duration. Raises EventError
        when the event is not of the class.
        """
        wait = EventWait(event=event, timeout=timeout, match=match, if_=if_, lookback=lookback)
        return self._host.request(event_waits.wait_for_event_call(step, wait, self._outside.now_ms()))

    def wait_for_signal(
        self, step: StepId, *, signal: str, timeout: Timeout | None = None, on_conflict: OnConflict = "fail"
    ) -> Pending[Signal | None]:
        """Wait for a signal by its name; gives the Signal, or None when the timeout (as of wait_for_event) is over.

        One run at a time waits for a name. While another does this raises StepError, or, with ``"replace"``, takes
        its place; the other can then only time out.
        """
        wait = SignalWait(signal=signal, timeout=timeout, on_conflict=on_conflict)
        return self._host.request(signals.wait_for_signal_call(step, wait, self._outside.now_ms()))

    def send_signal(self, step: StepId, *, signal: str, data: Any = None) -> Pending[str | None]:
        """Send a signal; gives the id of the run that waited for it, or None when none did: the signal is then lost."""
        return self._host.request(signals.send_signal_call(step, signal, data, self._outside.send_signal))

    @overload
    def invoke(
        self,
        step: StepId,
        *,
        function: Invocable[T],
        data: Any = None,
        timeout: Timeout | None = None,
        user: Mapping[str, Any] | None = None,
        v: str | None = None,
        on_parent_cancel: OnParentCancel = "cancel",
    ) -> Pending[T]: ...
    @overload
    def invoke(
        self,
        step: StepId,
        *,
        function: str,
        data: Any = None,
        timeout: Timeout | None = None,
        user: Mapping[str, Any] | None = None,
        v: str | None = None,
        on_parent_cancel: OnParentCancel = "cancel",
    ) -> Pending[Any]: ...
    def invoke(
        self,
        step: StepId,
        *,
        function: Invocable[Any] | str,
        data: Any = None,
        timeout: Timeout | None = None,
        user: Mapping[str, Any] | None = None,
        v: str | None = None,
        on_parent_cancel: OnParentCancel = "cancel",
    ) -> Pending[Any]:
        """Run another function and give what it returns, in the type it is annotated with.

        ``function`` is a function of an app, or ``"<app id>-<function id>"``. Its event carries ``data``, a mapping,
        pydantic model or dataclass, with ``user`` and ``v``. Raises StepError when the function failed, was cancelled
        or is unknown, and InvokeTimeoutError after ``timeout`` (default one year); it then goes on running. When this
        run is cancelled meanwhile, so is the invoked one, unless ``on_parent_cancel="abandon"`` lets it go on.
        """
        invocation = Invocation(
            function=function, data=data, timeout=timeout, user=user, v=v, on_parent_cancel=on_parent_cancel
        )
        return self._host.request(invocations.invoke_call(step, invocation, self._outside.now_ms()))
