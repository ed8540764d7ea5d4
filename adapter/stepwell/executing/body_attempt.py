"""One attempt of a step's body: with what surrounds its step call, within its time limit.

A coroutine runs in the event loop, in a task of its own, a plain function in a thread of its own, so that it may block.
Both see the context variables as they were where the step was called, as a plain call would.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from stepwell.executing.body_threads import BodyKey, Ended, Turn
from stepwell.executing.interruption import ends_process
from stepwell.executing.loop.contained import IN_BODY
from stepwell.executing.loop.starter import STARTER, note_what_functions_start
from stepwell.executing.nesting import EXECUTING
from stepwell.executing.runtime import Runtime
from stepwell.replaying.replay import Body, Raised, RequestedStep, Returned
from stepwell.wire.times import SECOND_MS, format_duration

_LOGGER = logging.getLogger("stepwell")


@dataclass(frozen=True, slots=True)
class BodyAttempt:
    """An attempt of ``body``, that of a step of a run; ``outside`` is what the call has set since the step call."""

    function: str
    run_id: str
    step: RequestedStep
    body: Body
    runtime: Runtime
    outside: tuple[tuple[contextvars.ContextVar[Any], Any], ...] = ()

    async def outcome(self) -> Ended:
        """Run the body. Returns what came of it, whatever it raised; cancelling this cancels the body.

        Raises what a signal to the process raised.
        """
        context = self._context()
        call = self._call()
        if _is_coroutine_function(self.body.fn):
            return await self._bounded(lambda: _in_task(call, context))
        return await self._in_thread(call, context)

    async def _in_thread(self, call: Callable[[], Any], context: contextvars.Context) -> Ended:
        """The time limit begins with the body: not while it waits for an earlier attempt, or for a thread."""
        earlier = await self._earlier()
        if earlier is not None:
            return Raised(earlier)
        async with self.runtime.threads.turn(self.function) as turn:

            async def run() -> Ended:
                ended = await turn.run(self._key, lambda: context.run(_called, call))
                if isinstance(ended, Returned) and inspect.isawaitable(ended.value):
                    return await _in_task(lambda: ended.value, context)
                return ended

            try:
                return await self._bounded(run)
            finally:
                self._warn_of(turn)

    async def _earlier(self) -> TimeoutError | None:
        """Wait for the body of an earlier attempt, as long as an attempt may take. Returns why this one cannot run."""
        timeout_ms = self.body.timeout_ms
        patience_s = self.runtime.patience_s if timeout_ms is None else timeout_ms / SECOND_MS
        scope = self.runtime.timeout(patience_s)
        try:
            async with scope:
                await self.runtime.threads.ended(self._key)
        except TimeoutError:
            return TimeoutError(
                f'step "{self.step.label}": the body of the last attempt is still running in thread '
                f'"{self._key.thread_name}", and is not started a second time beside it: '
                "give what it waits for a time limit of its own, shorter than the step's"
            )
        return None

    async def _bounded(self, run: Callable[[], Awaitable[Ended]]) -> Ended:
        """What ``run`` gives, or a TimeoutError when it had to be cancelled because the time was up."""
        timeout_ms = self.body.timeout_ms
        if timeout_ms is None:
            return await _cancellable(run)
        scope = self.runtime.timeout(timeout_ms / SECOND_MS)
        try:
            async with scope:
                return await _cancellable(run)
        except TimeoutError:
            limit = format_duration(timeout_ms)
            return Raised(TimeoutError(f'step "{self.step.label}" took longer than its timeout of {limit}'))

    def _warn_of(self, turn: Turn) -> None:
        if turn.busy:
            _LOGGER.warning(
                'function "%s", step "%s": its body cannot be stopped, and runs on in thread "%s" although its attempt '
                "is over; the next attempt waits for it. Give what it waits for a time limit of its own, or make the "
                "body async def",
                self.function,
                self.step.label,
                self._key.thread_name,
            )

    @property
    def _key(self) -> BodyKey:
        return BodyKey(self.function, self.run_id, self.step.hashed, self.step.label)

    def _call(self) -> Callable[[], Any]:
        step, body = self.step, self.body
        args = tuple(body.args if step.args is None else step.args)
        kwargs = body.kwargs if step.args is None else {}
        if body.takes_name:
            args = (step.name, *args)
        return lambda: body.fn(*args, **kwargs)

    def _context(self) -> contextvars.Context:
        """The context of the step call, for code that is a step's body and none of the function's own."""
        context = self.body.context.copy()
        for variable, value in self.outside:
            context.run(variable.set, value)
        context.run(EXECUTING.set, self.step.label)
        context.run(STARTER.set, None)
        context.run(IN_BODY.set, True)
        return context


def set_since(before: contextvars.Context) -> tuple[tuple[contextvars.ContextVar[Any], Any], ...]:
    """The context variables that have other values now than in ``before``, with these values."""
    now = contextvars.copy_context()
    missing = object()
    return tuple((variable, value) for variable, value in now.items() if before.get(variable, missing) is not value)


def raised(error: BaseException) -> Raised:
    """What user code raised, of whatever class. Raises it again when a signal to the process did."""
    if ends_process(error):
        raise error
    return Raised(error)


async def _cancellable(run: Callable[[], Awaitable[Ended]]) -> Ended:
    """What ``run`` gives, but that a cancellation from outside is raised."""
    ended = await run()
    if isinstance(ended, Raised) and isinstance(ended.error, asyncio.CancelledError) and _is_being_cancelled():
        raise ended.error
    return ended


async def _in_task(call: Callable[[], Awaitable[Any]], context: contextvars.Context) -> Ended:
    """Run a coroutine in ``context``. What it raises never leaves its task, where an exit would end the event loop."""

    async def run() -> Ended:
        try:
            return Returned(await call())
        except BaseException as error:  # noqa: BLE001 - whatever a body raises is the step's failure
            return raised(error)

    loop = asyncio.get_running_loop()
    note_what_functions_start(loop)
    return await asyncio.Task(run(), loop=loop, context=context)


def _called(call: Callable[[], Any]) -> Ended:
    """In the thread: what a plain function gives, or raises. Signals go to the main thread alone."""
    try:
        return Returned(call())
    except BaseException as error:  # noqa: BLE001 - whatever a body raises is the step's failure
        return Raised(error)


def _is_coroutine_function(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


def _is_being_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0
