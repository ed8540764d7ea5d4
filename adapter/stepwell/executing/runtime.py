"""What a call needs from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from stepwell.executing.body_threads import BodyThreads
from stepwell.executing.saving import Saver
from stepwell.middleware.hooks import NO_HOOKS, Hooks
from stepwell.replaying.replay import Body, RequestedStep
from stepwell.steps.calls import SendEvents
from stepwell.steps.signals import SendSignal


class TimeoutScope(Protocol):
    """What ``asyncio.timeout`` returns, as far as it is used."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> bool | None: ...
    def expired(self) -> bool:
        """Whether the time was up."""
        ...


def as_written(_step: RequestedStep, body: Body) -> Body:
    """The body the function gave the step."""
    return body


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a call needs from outside.

    ``send`` sends events, ``send_signal`` a signal; ``now_ms`` is the clock; ``timeout`` makes a context manager that
    cancels its body after so many seconds and raises TimeoutError, as ``asyncio.timeout`` does. ``patience_s`` bounds
    how long a call with steps to report waits for a branch of the function that is busy with something else; a plain
    function counts as busy ``grace_s`` after its last step.
    ``body_of`` says what is executed for a step: tests put a stub in the body's place. ``saver`` saves steps while
    their call goes on; without one each step ends its call. No step is begun that may not end before ``ends_at_ms``.
    ``hooks`` is the middleware of the call, ``threads`` what plain bodies run in, of all calls of an app.
    """

    send: SendEvents
    send_signal: SendSignal
    now_ms: Callable[[], int]
    timeout: Callable[[float], TimeoutScope] = asyncio.timeout
    patience_s: float = 10.0
    grace_s: float = 0.1
    body_of: Callable[[RequestedStep, Body], Body] = as_written
    saver: Saver | None = None
    ends_at_ms: int | None = None
    hooks: Hooks = NO_HOOKS
    threads: BodyThreads = field(default_factory=BodyThreads)
