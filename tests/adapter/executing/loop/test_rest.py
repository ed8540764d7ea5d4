"""The search for rest, on tasks alone: no replay, no function, no steps but bare futures."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from stepwell.executing.loop.rest import PASSES_MAX, Rest
from stepwell.executing.loop.starter import STARTER, note_what_functions_start
from stepwell.executing.loop.survey import Survey
from stepwell.steps.awaitable import PendingStep, StepFuture

Work = Callable[["Function"], Coroutine[Any, Any, Any]]


class Function:
    """A task whose context tells what it starts, as a function's does; ``step`` is a step of it."""

    def __init__(self, work: Work) -> None:
        self.loop = asyncio.get_running_loop()
        self.step = StepFuture(None, loop=self.loop)
        note_what_functions_start(self.loop)
        context = contextvars.copy_context()
        context.run(STARTER.set, self)
        self.handler = asyncio.Task(work(self), loop=self.loop, context=context)
        self.rest = Rest(self.handler, self, self.loop)

    def note_task(self, task: asyncio.Future[Any]) -> None:
        self.rest.note_task(task)

    def set_timer(self, when_s: float, callback: Callable[..., Any], *args: Any) -> Any:
        return self.loop.call_at(when_s, callback, *args)

    async def look(self) -> Survey:
        """What is found, with everything ended afterwards."""
        view = await self.rest.look()
        for task in (self.handler, *self.rest.started):
            task.cancel()
        await asyncio.gather(self.handler, *self.rest.started, return_exceptions=True)
        return view


async def waits_for_a_step(function: Function) -> None:
    await PendingStep(function.step)


async def waits_for_a_lock(function: Function) -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    await lock.acquire()


async def waits_for_a_thread(function: Function) -> None:
    await asyncio.wrap_future(concurrent.futures.Future[None]())


async def reads_a_stream(function: Function) -> None:
    await asyncio.StreamReader().read(1)


async def waits_beside_one_that_does_io(function: Function) -> None:
    await asyncio.gather(PendingStep(function.step), waits_for_a_thread(function))


async def has_a_task_that_does_io(function: Function) -> None:
    task = asyncio.create_task(waits_for_a_thread(function))
    task.add_done_callback(lambda _: None)
    await PendingStep(function.step)


async def has_a_task_that_nobody_hears(function: Function) -> None:
    task = asyncio.create_task(waits_for_a_thread(function))
    await PendingStep(function.step)
    del task


async def spins(function: Function) -> None:
    while True:  # noqa: ASYNC110 - spinning is the point
        await asyncio.sleep(0)


async def works_for_some_passes(function: Function) -> None:
    for _ in range(PASSES_MAX // 2):
        await asyncio.sleep(0)
    await PendingStep(function.step)


async def is_called_back(function: Function) -> None:
    woken = function.loop.create_future()

    def pass_on(times: int) -> None:
        if times:
            function.loop.call_soon(pass_on, times - 1)
        else:
            woken.set_result(None)

    function.loop.call_soon(pass_on, 30)
    await woken
    await PendingStep(function.step)


@pytest.mark.parametrize(
    ("work", "ready", "outside", "inside", "waits_for_step"),
    [
        (waits_for_a_step, False, 0, 0, True),
        (waits_for_a_lock, False, 0, 1, False),
        (waits_for_a_thread, False, 1, 0, False),
        (reads_a_stream, False, 1, 0, False),
        (waits_beside_one_that_does_io, False, 1, 0, True),
        (has_a_task_that_does_io, False, 1, 0, True),
        (has_a_task_that_nobody_hears, False, 0, 0, True),
        (spins, True, 0, 0, False),
        (works_for_some_passes, False, 0, 0, True),
        (is_called_back, False, 0, 0, True),
    ],
)
async def test_what_a_function_waits_for_is_found(
    work: Work, *, ready: bool, outside: int, inside: int, waits_for_step: bool
) -> None:
    """A look ends when nothing of the function is scheduled, and tells steps, I/O and the function's own apart."""
    function = Function(work)

    view = await function.look()

    assert (view.ready, len(view.outside), len(view.inside)) == (ready, outside, inside)
    assert (function.step in view.steps) is waits_for_step


async def test_other_tasks_of_the_loop_are_no_business_of_a_function() -> None:
    """A busy neighbour in the same loop neither delays rest nor counts as work of the function."""
    neighbour = asyncio.create_task(spins(None))  # type: ignore[arg-type]
    view = await Function(waits_for_a_step).look()
    neighbour.cancel()

    assert not view.ready


async def test_a_cancellation_that_anyio_repeats_is_no_work() -> None:
    """A scope that was cancelled, around a wait that is shielded, would spin for as long as the wait lasts."""
    import anyio

    async def work(function: Function) -> None:
        with anyio.CancelScope() as outer:
            outer.cancel()
            with anyio.CancelScope(shield=True):
                await PendingStep(function.step)

    view = await Function(work).look()

    assert not view.ready
