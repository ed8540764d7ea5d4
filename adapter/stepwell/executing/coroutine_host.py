"""Runs an ``async def`` function under a replay, as a task in the running loop.

A step call registers at once, in call order, and gives a future. Memos are given out in the order they were stored,
each only when the function has come to rest, so that a race is won by who won it first (protocol 4.10).

At rest means: everything the handler waits for, through however many tasks, is a step, a lock or another part of the
function that waits itself. While the handler waits for anything else, such as I/O or a timer of its own, the call waits
with it; with steps to report it does so for ``patience_s`` at most, since the rest is found by a later call. A lock may
be up to something outside as well: it counts so as long as the journal says that the function went on from there.
A task nobody awaits is let run as far as it gets by itself.

A step that this very call executed is given out in the same way, and the function goes on from where it is.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from stepwell.executing.loop.own_tasks import STARTER, note_tasks
from stepwell.executing.loop.parallel_mode import joins_exactly, modes_of
from stepwell.executing.loop.waiting import (
    AnyFuture,
    Survey,
    dependants,
    next_pass,
    running_loop,
    tasks_waiting_for,
    waiter_of,
)
from stepwell.executing.step_body import EXECUTING, refuse_nested
from stepwell.replaying.replay import Paused, Progress, Raised, Replay, RequestedStep, Returned, StepCall, result_of
from stepwell.steps.awaitable import PendingStep, StepFuture
from stepwell.steps.calls import misuse
from stepwell.wire.memo import Memo
from stepwell.wire.opcodes import ParallelMode

PASSES_MAX: Final = 1_000
"""Passes of the loop a function may spin before it counts as busy with something else."""

PASSES_TO_CLOSE: Final = 5
"""Passes in which most functions are unwound; only then is it worth setting up a real wait."""

_ENDED = "this call of the function has ended; its steps go on in a later call: let the cancellation pass"


class CoroutineHost:
    """One call of one async function; used once: ``advance``, ``resume`` for each step executed, then ``close``.

    ``before_waiting`` is called whenever the function is about to wait for something other than its steps, and says
    whether it took any time; what it raises ends the call.
    """

    resumable = True

    def __init__(self, replay: Replay, patience_s: float, before_waiting: Callable[[], Awaitable[bool]]) -> None:
        self._replay = replay
        self._before_waiting = before_waiting
        self._patience_s = self._close_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._futures: dict[str, StepFuture] = {}
        self._unresolved: dict[str, StepFuture] = {}
        self._woken: set[asyncio.Task[Any]] = set()
        self._joined: set[StepFuture] = set()
        self._started: list[AnyFuture] = []
        self._arrival: AnyFuture = self._loop.create_future()
        self._handler: asyncio.Task[Any]
        self._closed = False

    def request(self, call: StepCall) -> PendingStep:
        """Register a step call; it is cancelled when the call of the function has ended."""
        refuse_nested(call.user_id)
        self._refuse_elsewhere(call.user_id)
        if self._closed:
            ended: StepFuture = StepFuture(None, loop=self._loop)
            ended.cancel(_ENDED)
            return PendingStep(ended)
        step = self._replay.request(call)
        future: StepFuture = StepFuture(step, loop=self._loop)
        self._futures[step.hashed] = self._unresolved[step.hashed] = future
        if not self._arrival.done():
            self._arrival.set_result(None)
        return PendingStep(future)

    def note(self, task: AnyFuture) -> None:
        """Take note of a task that the function started."""
        self._started.append(task)

    async def advance(self, handler: Callable[[], Coroutine[Any, Any, Any]]) -> Progress:
        """Run the function as far as its memos carry it, or until it asks for the target."""
        note_tasks(self._loop)
        context = contextvars.copy_context()
        context.run(STARTER.set, self)
        context.run(EXECUTING.set, None)
        self._handler = self._loop.create_task(_called(handler), context=context)
        return await self._run()

    async def resume(self) -> Progress:
        """Run the function on, once the replay has the result of the step it paused at."""
        self._deliver()
        return await self._run()

    def reportable(self, progress: Progress) -> list[RequestedStep]:
        """The new steps the function still wants.

        Not those it cancelled. Once it has returned, not those it had been waiting for either: they lost a race; but
        a step that nothing ever waited for is reported before the run ends.
        """
        steps = [step for step in self._replay.new_steps if not self._futures[step.hashed].cancelled()]
        if isinstance(progress, Paused):
            return steps
        return [step for step in steps if self._futures[step.hashed] not in self._joined]

    def modes(self, steps: Sequence[RequestedStep]) -> list[ParallelMode | None]:
        """How the function waits for each of some open steps."""
        return modes_of(self._handler, self._open(), [self._futures[step.hashed] for step in steps])

    async def close(self) -> None:
        """End what is left of the function: its tasks are cancelled, ``finally`` blocks run, its steps do nothing."""
        self._closed = True
        tasks = {self._handler, *self._woken}
        for woken in dependants(self._open()):
            woken.add_done_callback(_mark_retrieved)
            if isinstance(woken, asyncio.Task):
                tasks.add(woken)
        self._handler.add_done_callback(_mark_retrieved)
        self._handler.cancel(_ENDED)
        for future in self._open():
            future.cancel(_ENDED)
        for _ in range(PASSES_TO_CLOSE):
            if all(task.done() for task in tasks):
                return
            await next_pass()
        await asyncio.wait(tasks, timeout=self._close_s)

    def _progress(self) -> Progress:
        if not self._handler.done():
            return Paused()
        if self._handler.cancelled():
            return Raised(asyncio.CancelledError("the function was cancelled from inside"))
        error = self._handler.exception()
        if error is not None:
            return Raised(error)
        if not self._left_behind():
            self._replay.check_order(self._open_steps())
        return Returned(self._handler.result())

    async def _run(self) -> Progress:
        while True:
            exact = await self._settle()
            if not self._replay.in_order and self._strays_run():
                exact = await self._settle(strays=True)
            if self._handler.done() or self._replay.target_requested:
                return self._progress()
            if exact:
                self._replay.check_order(self._open_steps())
            if not self._deliver():
                return Paused()

    async def _settle(self, *, strays: bool = False) -> bool:
        """Wait until the function is at rest. False when patience ran out first."""
        give_up_at: float | None = None
        while True:
            view = await self._look(strays)
            moving = view.ready or view.outside or (view.locked and self._replay.overdue is not None)
            if self._handler.done() or (self._open() and not moving):
                return True
            if self._open():
                give_up_at = self._loop.time() + self._patience_s if give_up_at is None else give_up_at
                if self._replay.target_requested or self._loop.time() >= give_up_at:
                    self._patience_s = 0
                    return False
            if not view.ready and not await self._before_waiting():
                await self._wait_outside(view.outside, give_up_at)

    async def _look(self, strays: bool) -> Survey:
        """Let the function run while it is ready, and see what it waits for.

        A wait through joined futures counts once it looks the same twice: their callbacks take a pass each.
        """
        before: set[AnyFuture] | None = None
        for _ in range(PASSES_MAX):
            await next_pass()
            view = Survey()
            view.explore(self._handler)
            self._joined |= view.steps
            view.explore(*self._woken)
            if strays and not view.ready:
                view.ready = self._strays_run()
            if self._handler.done() or (not view.ready and (not view.indirect or view.seen == before)):
                return view
            before = None if view.ready else view.seen
        view.ready = True
        return view

    async def _wait_outside(self, outside: Iterable[AnyFuture], give_up_at: float | None) -> None:
        """Wait for anything that may let the function go on."""
        self._arrival = self._loop.create_future()
        timeout_s = None if give_up_at is None else max(give_up_at - self._loop.time(), 0)
        await asyncio.wait(
            {self._handler, self._arrival, *outside}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )

    def _deliver(self) -> bool:
        """Give out the next memo, if any; several at once where nothing but their join can run in between."""
        first = self._replay.next_memo()
        if first is None:
            return False
        joined = len(self._futures) > 1 and joins_exactly(self._handler, self._open())
        succeeded = self._resolve(*first)
        while joined and succeeded and self._replay.in_order:
            following = self._replay.next_memo()
            succeeded = following is not None and self._resolve(*following)
        return True

    def _resolve(self, step: RequestedStep, memo: Memo) -> bool:
        """Settle the future of ``step``; whether it succeeded."""
        future = self._futures[step.hashed]
        if future.done():
            return False
        self._woken = {task for task in self._woken if not task.done()}
        self._woken.update(tasks_waiting_for(future))
        self._woken.discard(self._handler)
        try:
            future.set_result(result_of(step, memo))
        except Exception as error:  # noqa: BLE001 - it is raised where the step is awaited
            future.set_exception(error)
            _mark_retrieved(future)
            return False
        return True

    def _strays_run(self) -> bool:
        """Whether a task of the function that nobody need be waiting for is about to run."""
        self._started = [task for task in self._started if not task.done()]
        return any(isinstance(task, asyncio.Task) and waiter_of(task) is None for task in self._started)

    def _left_behind(self) -> bool:
        """Whether the function returned before a task of its own had reached its next step."""
        view = Survey()
        view.explore(*self._started)
        return view.ready or view.locked or bool(view.outside)

    def _open(self) -> list[StepFuture]:
        self._unresolved = {hashed: future for hashed, future in self._unresolved.items() if not future.done()}
        return list(self._unresolved.values())

    def _open_steps(self) -> list[RequestedStep]:
        return [future.step for future in self._open() if future.step is not None]

    def _refuse_elsewhere(self, step_id: str) -> None:
        if running_loop() is not self._loop:
            raise misuse(step_id, "called outside the event loop of its function; call it in the function itself")


async def _called(handler: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return await handler()


def _mark_retrieved(future: AnyFuture) -> None:
    """An abandoned failure is not worth asyncio's complaint that nobody looked at it."""
    if not future.cancelled():
        future.exception()
