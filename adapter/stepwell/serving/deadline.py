"""Executing functions where time is short: an answer that names what took too long, instead of no answer at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final

from stepwell.authoring.app import App
from stepwell.authoring.function import Function
from stepwell.client.settings import Settings
from stepwell.replaying.replay import Body, RequestedStep
from stepwell.serving.executor import Execute, runtime_of
from stepwell.wire.call import CallRequest
from stepwell.wire.errors import ErrorBody
from stepwell.wire.reply import Failed, Outcome
from stepwell.wire.times import SECOND_MS

MARGIN_MAX_MS: Final = SECOND_MS
MARGIN_SHARE: Final = 10
"""The answer is given when a tenth of the time is left, and no earlier than a second before the end."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one call of a function may take: ``ms`` from now, granted by ``giver``, which is a name for people."""

    ms: int
    giver: str

    @property
    def margin_ms(self) -> int:
        """What is kept back for the answer."""
        return min(MARGIN_MAX_MS, self.ms // MARGIN_SHARE)


ALLOWANCE: Final[ContextVar[Allowance | None]] = ContextVar("stepwell_allowance", default=None)
"""The allowance of the call that is being answered; None when nothing bounds its time."""


def execute_in_time(
    app: App, settings: Settings, now_ms: Callable[[], int], sleep_ms: Callable[[int], Awaitable[None]]
) -> Execute:
    """Executes the functions of ``app``, served with ``settings``, within the allowance of each call.

    A call that goes on from step to step ends before a step that may take too long. A function that is still running
    when its allowance is all but used up is cancelled, and its call has failed, to be tried again. A thread cannot be
    cancelled: a plain function goes on in it while the answer is given.
    """
    from stepwell.executing.execution import execute

    runtime = runtime_of(app, settings, now_ms)

    async def run(function: Function[Any], call: CallRequest, target: str | None) -> Outcome:
        allowance = ALLOWANCE.get()
        if allowance is None:
            return await execute(function, call, target=target, runtime=runtime)
        begun: list[str] = []

        def note_begun(step: RequestedStep, body: Body) -> Body:
            begun.append(step.label)
            return runtime.body_of(step, body)

        ends_at_ms = now_ms() + allowance.ms - 2 * allowance.margin_ms
        bounded = replace(runtime, body_of=note_begun, ends_at_ms=ends_at_ms)
        task = asyncio.ensure_future(execute(function, call, target=target, runtime=bounded))
        if await _ends_before(task, sleep_ms(allowance.ms - allowance.margin_ms)):
            return task.result()
        task.cancel()
        if await _ends_before(task, sleep_ms(allowance.margin_ms // 2)) and not task.cancelled():
            return task.result()
        # Its threads may be taken for a long time to come; what is called next gets others.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="stepwell"))
        return _too_late(function, allowance, begun)

    return run


async def _ends_before(task: asyncio.Future[Outcome], time: Awaitable[None]) -> bool:
    alarm = asyncio.ensure_future(time)
    both: set[asyncio.Future[Any]] = {task, alarm}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        alarm.cancel()
    return task.done()


def _too_late(function: Function[Any], allowance: Allowance, begun: list[str]) -> Failed:
    what = f'step "{begun[-1]}"' if begun else f'function "{function.slug}", outside its steps,'
    message = (
        f"{what} was still running when the {-(-allowance.ms // SECOND_MS)} s that {allowance.giver} may take were "
        "nearly over; raise that timeout, or do less in one step"
    )
    error = ErrorBody("FunctionTimeoutError", message, code="function_timeout")
    return Failed(error, error.encode())
