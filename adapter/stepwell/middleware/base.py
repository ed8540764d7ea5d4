"""What a middleware is: hooks that do nothing until a subclass has something to do, and what they are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from stepwell.client.http import HttpRequest
from stepwell.values.event import Event

Hook = Awaitable[None] | None
"""What a hook returns: nothing, as a ``def`` or as an ``async def``. A ``def`` hook runs in the event loop."""


class EventSender(Protocol):
    """An app, as far as a middleware needs one."""

    id: str

    async def send(self, events: Event | list[Event]) -> list[str]:
        """Send events. Returns their internal ids in order."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """What one instance is made for: a call of a function of ``app``, or one ``app.send``.

    ``request`` is the call's HTTP request, None where there is none. ``now_ms`` is the clock, in epoch milliseconds.
    """

    app: EventSender
    now_ms: Callable[[], int]
    request: HttpRequest | None = None


@dataclass(frozen=True, slots=True)
class StepInfo:
    """A step that is executed: ``id`` as the user counts it (``x``, ``x:1``), ``hashed`` as it is stored."""

    id: str
    hashed: str
    name: str


@dataclass(slots=True)
class CallInput:
    """What a call is given. What a hook changes in ``events``, ``steps`` and ``state`` is what the function gets.

    ``events`` are JSON objects as on the wire. ``steps`` has the JSON results of finished steps by hashed id, without
    those that failed. ``state`` is ``ctx.state``. ``function_slug`` is ``<app id>-<function id>``. ``first``: nothing
    of the run is stored yet, and this is no repeated attempt.
    """

    function_slug: str
    run_id: str
    attempt: int
    first: bool
    events: list[dict[str, Any]]
    steps: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Output:
    """What a step gave, or the function where ``step`` is None: a JSON ``value``, or the ``error`` it raised.

    What a hook puts into ``value`` and ``error`` is what the server is told.
    """

    value: Any = None
    error: BaseException | None = None
    step: StepInfo | None = None


class Middleware:
    """The base class: a subclass overrides the hooks it needs, each as ``def`` or as ``async def``.

    One instance is made for every call of a function, and for every ``app.send``. What a hook raises fails the call
    with a MiddlewareError; a NonRetriableError fails it for good.
    """

    def __init__(self, scope: Scope) -> None:
        self.app = scope.app
        self.request = scope.request
        self.now_ms = scope.now_ms

    def transform_input(self, call: CallInput, /) -> Hook:
        """Change what the function gets.

        Once at the beginning of a call, and again for each step that the call goes on behind: then ``steps`` has that
        one alone, and ``events`` is empty.
        """

    def before_memoization(self) -> Hook:
        """The function is about to run through what is stored. Once a call."""

    def after_memoization(self) -> Hook:
        """The function has come to what is not stored: a new step, or its end. Once a call."""

    def before_execution(self, step: StepInfo, /) -> Hook:
        """A step's body is about to run. Once for each step executed."""

    def after_execution(self, step: StepInfo, /) -> Hook:
        """A step's body has ended, well or not. Once for each step executed."""

    def transform_output(self, output: Output, /) -> Hook:
        """Change what is reported. Once for each step executed, and when the function returns or raises."""

    def before_send_events(self, events: list[dict[str, Any]], /) -> Hook:
        """Change events, JSON objects as on the wire, before they are sent; that of ``step.invoke`` is one of them."""

    def after_send_events(self, ids: list[str], /) -> Hook:
        """Events were accepted, under these internal ids. Not after ``step.invoke``."""

    def before_response(self) -> Hook:
        """The answer to the call is ready. Once a call, unless a hook failed before."""


Make = Callable[[Scope], Middleware]
"""A Middleware class, or anything that makes an instance of one."""
