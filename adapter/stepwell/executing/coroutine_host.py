"""Runs an ``async def`` function under a replay, as a task in the running loop.

A step call registers at once, in call order, and gives a future. Memos are given out in the order they were stored,
each only when the function has come to rest (``loop/rest.py``), so that a race is won by who won it first (protocol
4.10). While something of the function does I/O the call waits with it; with steps to report it does so for
``patience_s`` at most, since the rest is found by a later call.

A step that this very call executed is given out in the same way, and the function goes on from where it is. What the
function waits with by asyncio's own timers is a step, too (``durable_timers.py``).
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Final

from stepwell.executing.body_attempt import raised
from stepwell.executing.dropped import Dropped, dropped_step, failed_task
from stepwell.executing.durable_timers import DurableTimers
from stepwell.executing.loop.abandonable import Abandonable
from stepwell.executing.loop.parallel_mode import Joined, joined_steps, joins_exactly
from stepwell.executing.loop.rest import Rest
from stepwell.executing.loop.starter import STARTER, note_what_functions_start
from stepwell.executing.loop.survey import Survey
from stepwell.executing.loop.timers import refuse_timer_of, wait_of
from stepwell.executing.loop.waiting import (
    AnyFuture,
    dependants,
    next_pass,
    running_loop,
    tasks_waiting_for,
)
from stepwell.executing.nesting import EXECUTING, refuse_nested
from stepwell.replaying.replay import Paused, Progress, Raised, Replay, RequestedStep, Returned, StepCall, result_of
from stepwell.steps.awaitable import PendingStep, StepFuture
from stepwell.steps.calls import misuse
from stepwell.values.source_lines import line_of_author
from stepwell.wire.ids import StepName
from stepwell.wire.memo import Memo
from stepwell.wire.opcodes import ParallelMode

PASSES_TO_CLOSE: Final = 5
"""Passes in which most functions are unwound; only then is it worth setting up a real wait."""

CANCELLATIONS_MAX: Final = 20
"""How often a function may ask for another step while it is unwound, before it is left where it stands."""

_ENDED = "this call of the function has ended; its steps go on in a later call: let the cancellation pass"

_LOGGER = logging.getLogger("stepwell")


class CoroutineHost:
    """One call of one async function; used once: ``advance``, ``resume`` for each step executed, then ``close``.

    ``before_waiting`` is called whenever the function is about to wait for something other than its steps, and says
    whether it took any time; what it raises ends the call.
    """

    resumable = True
    raced: bool
    """Whether the function has gone on while another step was pending, on a server whose discoveries may overlap."""

    def __init__(self, replay: Replay, patience_s: float, before_waiting: Callable[[], Awaitable[bool]]) -> None:
        self._replay = replay
        self._before_waiting = before_waiting
        self._patience_s = self._close_s = patience_s
        self._loop = asyncio.get_running_loop()
        self._timers = DurableTimers(self._loop, replay.name)
        self._futures: dict[str, StepFuture] = {}
        self._unresolved: dict[str, StepFuture] = {}
        self._too_late: list[StepFuture] = []
        self._arrival: AnyFuture = self._loop.create_future()
        self._function: Abandonable
        self._package = ""
        self._handler: asyncio.Task[Any]
        self._rest: Rest
        self._closed = False
        self._one_discovery_at_a_time = replay.call.ctx.from_stepwell
        self.raced = False

    def request(self, call: StepCall) -> PendingStep:
        """Register a step call; it never ends once the call of the function has ended."""
        refuse_nested(call.user_id)
        self._refuse_elsewhere(call.user_id)
        if self._closed:
            late: StepFuture = StepFuture(None, loop=self._loop)
            self._too_late.append(late)
            return PendingStep(late)
        future = self._request(call, None)
        if not self._arrival.done():
            self._arrival.set_result(None)
        return PendingStep(future)

    def note_task(self, task: AnyFuture) -> None:
        """Take note of a task that the function started."""
        self._rest.note_task(task)

    def set_timer(self, when_s: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Set a timer of the function: a durable one for a wait, the loop's own for what libraries do.

        Raises DefinitionError for a timer of the function's own that is none of asyncio's waits.
        """
        wait = None if self._closed else wait_of(callback, args)
        if wait is not None:
            return self._timers.set(when_s, wait)
        if not self._closed:
            refuse_timer_of(self._package)
        return self._loop.call_at(when_s, callback, *args)

    async def advance(self, handler: Callable[[], Coroutine[Any, Any, Any]]) -> Progress:
        """Run the function as far as its memos carry it, or until it asks for the target."""
        note_what_functions_start(self._loop)
        context = contextvars.copy_context()
        context.run(STARTER.set, self)
        context.run(EXECUTING.set, None)
        self._package = _package_of(handler)
        self._function = Abandonable(_called(handler))
        self._handler = asyncio.Task(self._function, loop=self._loop, context=context)
        self._rest = Rest(self._handler, self, self._loop)
        return await self._run()

    async def resume(self) -> Progress:
        """Run the function on, once the replay has the result of the step it paused at."""
        self._deliver()
        return await self._run()

    def reportable(self, progress: Progress) -> list[RequestedStep]:
        """The new steps the function still wants: none that it cancelled, and none at all once it has ended."""
        if not isinstance(progress, Paused) and self._replay.target is None:
            return []
        return [step for step in self._replay.new_steps if not self._futures[step.hashed].cancelled()]

    def given_up(self) -> list[RequestedStep]:
        """The unfinished steps that the function has cancelled."""
        return [step for step in self._replay.new_steps if self._futures[step.hashed].cancelled()]

    def dropped(self) -> list[Dropped]:
        """What the function, which has ended, left behind by mistake: steps, and failures in tasks."""
        unfinished = [self._futures[step.hashed] for step in self._replay.new_steps]
        steps = [step for step in unfinished if not step.cancelled() and self._is_left(step)]
        return [*map(dropped_step, steps), *map(failed_task, self._rest.failed())]

    def _is_left(self, step: StepFuture) -> bool:
        """Whether nobody has ever waited for a step, or only a task that nobody has ever waited for."""
        if not step.awaited:
            return True
        return step not in self._rest.awaited and self._rest.heard.isdisjoint(tasks_waiting_for(step))

    def modes(self, steps: Sequence[RequestedStep]) -> list[ParallelMode | None]:
        """How the function waits for each of some open steps.

        A joined step that may raise before this side knows of it races for itself where that ends the wait for the
        others, if the server's discoveries never overlap: the function then goes on at once. Elsewhere it is joined.
        """
        joined = None if self.raced else self._joined_steps()
        if joined is None:
            return ["race"] * len(steps)
        return [self._mode(self._futures[step.hashed], joined) for step in steps]

    def failure_mode(self, step: RequestedStep) -> ParallelMode | None:
        """How the function waits for an open step that has failed: together only where the failure is kept."""
        joined = None if self.raced else self._joined_steps()
        return None if joined is not None and joined[self._futures[step.hashed]] else "race"

    def _mode(self, future: StepFuture, joined: Joined) -> ParallelMode | None:
        early = self._one_discovery_at_a_time and len(joined) > 1 and future.may_raise and not joined[future]
        return "race" if early else None

    def _joined_steps(self) -> Joined | None:
        """The open steps, when they are all waited for together."""
        return joined_steps(self._handler, self._open(), self._rest.started)

    async def close(self) -> None:
        """End what is left of the function: its tasks are cancelled, ``finally`` blocks run, its steps do nothing."""
        self._closed = True
        self._timers.cancel()
        tasks = {self._handler, *self._rest.woken}
        for woken in dependants(self._open()):
            woken.add_done_callback(_mark_retrieved)
            if isinstance(woken, asyncio.Task):
                tasks.add(woken)
        self._handler.add_done_callback(_mark_retrieved)
        self._handler.cancel(_ENDED)
        for future in self._open():
            future.cancel(_ENDED)
        for _ in range(CANCELLATIONS_MAX):
            if await _end(tasks):
                return
            late, self._too_late = self._too_late, []
            if not late:
                await asyncio.wait(tasks, timeout=self._close_s)
                return
            for future in late:
                future.cancel(_ENDED)
        self._abandon()

    def _abandon(self) -> None:
        _LOGGER.warning(
            "run %s: the function goes on asking for steps although its call has ended, and is left where it stands; "
            "it swallows asyncio.CancelledError: catch Exception, not BaseException",
            self._replay.call.ctx.run_id,
        )
        self._function.abandoned = True
        self._handler.cancel(_ENDED)

    def _request(self, call: StepCall, name: StepName | None) -> StepFuture:
        where = line_of_author()
        step = self._replay.request(call, name, where)
        future = StepFuture(step, loop=self._loop, where=where)
        self._futures[step.hashed] = self._unresolved[step.hashed] = future
        return future

    def _progress(self) -> Progress:
        if not self._handler.done():
            return Paused()
        if self._handler.cancelled():
            return Raised(asyncio.CancelledError("the function was cancelled from inside"))
        error = self._handler.exception()
        if error is not None:
            return Raised(error)
        result = self._handler.result()
        if isinstance(result, Raised):
            return result
        if not self._left_behind():
            self._replay.check_order(self._open_steps())
        return Returned(result)

    async def _run(self) -> Progress:
        while True:
            exact = await self._come_to_rest()
            if self._handler.done() or self._replay.target_requested:
                return self._progress()
            if exact:
                self._replay.check_order(self._open_steps())
            if not self._deliver():
                return Paused()

    async def _come_to_rest(self) -> bool:
        """Wait until the function is at rest. False when patience ran out first."""
        give_up_at: float | None = None
        while True:
            view = await self._rest.look()
            if self._handler.done():
                return True
            if not view.ready and not view.outside:
                self._timers.request(self._request)
                if self._open() and not (view.inside and self._replay.overdue is not None):
                    return True
            if self._open():
                give_up_at = self._loop.time() + self._patience_s if give_up_at is None else give_up_at
                if self._replay.target_requested or self._loop.time() >= give_up_at:
                    self._patience_s = 0
                    return False
            if not view.ready and not await self._before_waiting():
                await self._wait_for_change(view, give_up_at)

    async def _wait_for_change(self, view: Survey, give_up_at: float | None) -> None:
        """Wait for anything that may let the function go on."""
        self._arrival = self._loop.create_future()
        timeout_s = None if give_up_at is None else max(give_up_at - self._loop.time(), 0)
        awaited = {self._handler, self._arrival, *view.outside, *view.inside}
        await asyncio.wait(awaited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)

    def _deliver(self) -> bool:
        """Give out the next memo, if any; several at once where nothing but their join can run in between."""
        first = self._replay.next_memo()
        if first is None:
            return False
        together = None if self._one_discovery_at_a_time or self.raced else self._joined_steps()
        joined = len(self._futures) > 1 and joins_exactly(self._handler, self._open())
        succeeded = self._give_out(*first, together)
        while joined and succeeded and self._replay.in_order:
            following = self._replay.next_memo()
            succeeded = following is not None and self._give_out(*following, together)
        return True

    def _give_out(self, step: RequestedStep, memo: Memo, together: Joined | None) -> bool:
        """Settle the future of ``step``; whether it succeeded. Notes when the function goes on without the others.

        ``together`` are the open steps when nothing goes on before the last of them; decision 23 has the rest.
        """
        future = self._futures[step.hashed]
        given_up = future.done()
        succeeded = self._resolve(step, memo)
        waits = together is not None and (succeeded or together.get(future, False))
        if not self._one_discovery_at_a_time and not self.raced:
            self.raced = given_up or (not waits and bool(self._open()))
        return succeeded

    def _resolve(self, step: RequestedStep, memo: Memo) -> bool:
        """Settle the future of ``step``; whether it succeeded."""
        future = self._futures[step.hashed]
        if future.done():
            return False
        self._rest.wake(future)
        try:
            future.set_result(result_of(step, memo))
        except Exception as error:  # noqa: BLE001 - it is raised where the step is awaited
            future.set_exception(error)
            _mark_retrieved(future)
            return False
        return True

    def _left_behind(self) -> bool:
        """Whether the function returned before a task of its own had reached its next step."""
        view = Survey()
        view.explore(*self._rest.started)
        return view.ready or bool(view.inside or view.outside)

    def _open(self) -> list[StepFuture]:
        self._unresolved = {hashed: future for hashed, future in self._unresolved.items() if not future.done()}
        return list(self._unresolved.values())

    def _open_steps(self) -> list[RequestedStep]:
        return [future.step for future in self._open() if future.step is not None]

    def _refuse_elsewhere(self, step_id: str) -> None:
        if running_loop() is not self._loop:
            raise misuse(step_id, "called outside the event loop of its function; call it in the function itself")


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> bool:
    """Give tasks some passes to end in; whether they have."""
    for _ in range(PASSES_TO_CLOSE):
        if all(task.done() for task in tasks):
            return True
        await next_pass()
    return all(task.done() for task in tasks)


def _package_of(handler: Any) -> str:
    """The top-level package that a handler, perhaps bound to its arguments, is written in."""
    written = inspect.unwrap(handler.func if isinstance(handler, partial) else handler)
    return str(getattr(written, "__module__", "")).partition(".")[0]


async def _called(handler: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What the function returns. An exit is given as Raised: from a task it would end the event loop."""
    try:
        return await handler()
    except (SystemExit, KeyboardInterrupt) as error:
        return raised(error)


def _mark_retrieved(future: AnyFuture) -> None:
    """An abandoned failure is not worth asyncio's complaint that nobody looked at it."""
    if not future.cancelled():
        future.exception()
