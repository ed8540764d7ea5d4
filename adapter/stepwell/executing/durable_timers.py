"""The timers a function waits with, as sleeps of its run.

A timer becomes a step when the function comes to rest with it: one that was cancelled by then leaves no trace. It is
over when the journal says so, and at no other time, so that it fires in the same place in every replay. The one
exception is a timer around I/O that is no step: I/O belongs to one call, and so does the time it may take.

| when its time is up in this very call, and what it would wake | what happens |
| --- | --- |
| waits for steps, or for another part of the function | nothing: it fires by its memo |
| waits for I/O and for no step | it fires |
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stepwell.executing.loop.survey import Survey
from stepwell.executing.loop.timers import Wait
from stepwell.replaying.replay import StepCall
from stepwell.steps.awaitable import StepFuture
from stepwell.steps.calls import sleep_call
from stepwell.wire.ids import StepName


class DurableTimer:
    """What ``loop.call_at`` gives for a wait of the function's: cancelling it gives its step up."""

    def __init__(self, wait: Wait, name: StepName, delay_s: float, when_s: float) -> None:
        self.wait = wait
        self.name = name
        self.call = sleep_call(wait.name, max(delay_s, 0))
        self.context = contextvars.copy_context()
        self.step: StepFuture | None = None
        self.in_loop: asyncio.TimerHandle | None = None
        self._when_s = when_s
        self._cancelled = False

    def when(self) -> float:
        """Its time by the loop's clock, in seconds."""
        return self._when_s

    def cancelled(self) -> bool:
        """Whether the function does not wait with it any more."""
        return self._cancelled

    def cancel(self) -> None:
        """The function does not wait with it any more."""
        self._cancelled = True
        if self.in_loop is not None:
            self.in_loop.cancel()
        if self.step is not None:
            self.step.cancel()

    def fire(self) -> None:
        """Do what it was set for, unless that is done, or not wanted any more."""
        if not self._cancelled:
            self.cancel()
            self.wait.fire()


@dataclass(slots=True)
class DurableTimers:
    """The timers of one call. ``name`` gives the next name for a step id."""

    loop: asyncio.AbstractEventLoop
    name: Callable[[str], StepName]
    _timers: list[DurableTimer] = field(default_factory=list)

    def set(self, when_s: float, wait: Wait) -> DurableTimer:
        """Set a timer. Raises DefinitionError for one that is too long."""
        timer = DurableTimer(wait, self.name(wait.name), when_s - self.loop.time(), when_s)
        timer.in_loop = self.loop.call_at(when_s, _time_is_up, timer)
        self._timers.append(timer)
        return timer

    def request(self, request: Callable[[StepCall, StepName], StepFuture]) -> None:
        """Make steps of the timers that are none yet, in the order in which they were set."""
        self._timers = [timer for timer in self._timers if not timer.cancelled()]
        for timer in self._timers:
            if timer.step is None:
                timer.step = request(timer.call, timer.name)
                timer.step.awaited = True
                timer.step.add_done_callback(partial(_slept, timer), context=timer.context)

    def cancel(self) -> None:
        """Let go of all of them."""
        for timer in self._timers:
            timer.cancel()


def _time_is_up(timer: DurableTimer) -> None:
    view = Survey()
    view.explore(*timer.wait.guarded())
    if view.outside and not view.steps:
        timer.fire()


def _slept(timer: DurableTimer, step: asyncio.Future[Any]) -> None:
    if not step.cancelled():
        timer.fire()
