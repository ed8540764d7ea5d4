"""Runs a ``def`` function under a replay, in a thread: a stored step returns, a new one unwinds the function.

Where the call may go on after its next step, the thread waits at that step for the result instead, and is unwound only
when there will be none. It is a thread of its own and none of the loop's: waiting threads would take all of those, and
step bodies and look-ups of host names need them.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import Any

from stepwell.errors import DefinitionError
from stepwell.executing.dropped import Dropped
from stepwell.executing.loop.remaining_code import returns_at_once
from stepwell.executing.loop.waiting import running_loop
from stepwell.executing.nesting import EXECUTING, refuse_nested
from stepwell.replaying.replay import Paused, Progress, Raised, Replay, RequestedStep, Returned, StepCall, result_of
from stepwell.steps.calls import misuse
from stepwell.values.source_lines import line_of_author
from stepwell.wire.memo import Memo
from stepwell.wire.opcodes import ParallelMode


class StepInterrupt(BaseException):
    """Unwinds a ``def`` function at a step that has not finished. ``except Exception`` lets it pass, as it should."""


class ThreadHost:
    """One call of one plain function; used once: ``advance``, ``resume`` for each step executed, then ``close``.

    ``waits``: the function waits at a new step that runs, instead of being unwound, outside ``step.parallel``.
    ``before_waiting`` is called when the function is busy with something other than its steps; what it raises ends the
    call; it is busy when it has not come to the next step ``grace_s`` after the last. ``close`` waits for a function
    that is being unwound, ``patience_s`` at most.
    """

    def __init__(
        self,
        replay: Replay,
        before_waiting: Callable[[], Awaitable[bool]],
        *,
        waits: bool,
        grace_s: float,
        patience_s: float,
    ) -> None:
        self._replay = replay
        self._grace_s = grace_s
        self._patience_s = patience_s
        self._before_waiting = before_waiting
        self._waits = waits
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.Future[Progress] = self._loop.create_future()
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._at_step = False
        self._interrupt: StepInterrupt | None = None
        self._depth = 0
        self._joined = True
        self._parallel = False
        self._overlaps = not replay.call.ctx.from_stepwell
        self.raced = False
        self._thread_id = 0

    @property
    def resumable(self) -> bool:
        """Whether the function waits at the step it paused at."""
        return self._at_step

    def request(self, call: StepCall) -> Any:
        """The stored result of a step call. Raises StepInterrupt when there is none yet."""
        refuse_nested(call.user_id)
        self._refuse_elsewhere(call.user_id)
        if self._interrupt is not None:
            raise self._interrupt
        step = self._replay.request(call, where=line_of_author())
        if self._depth == 0 and step.hashed in self._replay.call.steps and not self._replay.in_order:
            self._replay.check_order([step])
        self._note_race()
        memo = self._replay.memo(step)
        if memo is None and self._waits and self._depth == 0 and call.body is not None:
            memo = self._wait_for(step)
        if memo is None:
            self._parallel = self._parallel or self._depth > 0
            self._joined = self._joined and self._is_joined()
            raise self._unwind(f'step "{step.label}" has not finished')
        return result_of(step, memo)

    def parallel(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run every branch up to its first new step, one after another, then unwind when there was any."""
        refuse_nested("parallel")
        self._refuse_elsewhere("parallel")
        for branch in branches:
            if not callable(branch):
                raise DefinitionError(
                    f"step.parallel takes functions, got {type(branch).__name__}; "
                    'write each branch as lambda: step.run("id", fn)'
                )
        if self._interrupt is not None:
            raise self._interrupt
        results: list[Any] = []
        errors: list[Exception] = []
        paused = False
        self._depth += 1
        for branch in branches:
            try:
                results.append(branch())
            except Exception as error:  # noqa: BLE001 - raised below, once every branch has ended
                errors.append(error)
            except StepInterrupt:
                pass
            paused = paused or self._interrupt is not None
            self._interrupt = None
        self._depth -= 1
        if paused:
            raise self._unwind("branches of step.parallel have not finished")
        if errors:
            raise errors[0]
        return results

    async def advance(self, handler: Callable[[], Any]) -> Progress:
        """Run the function as far as its memos carry it."""
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run, handler), name="stepwell-function", daemon=True).start()
        return await self._come_to_rest()

    async def resume(self) -> Progress:
        """Run the function on, once the replay has the result of the step it waits at."""
        self._go_on(finished=True)
        await asyncio.wait({self._rest}, timeout=self._grace_s)
        if not self._rest.done():
            await self._before_waiting()
        return await self._come_to_rest()

    def reportable(self, progress: Progress) -> list[RequestedStep]:
        """The new steps the function waits for."""
        return self._replay.new_steps

    def given_up(self) -> list[RequestedStep]:
        """None: a plain function waits for each of its steps."""
        return []

    def dropped(self) -> list[Dropped]:
        """Nothing, for the same reason."""
        return []

    def modes(self, steps: Sequence[RequestedStep]) -> list[ParallelMode | None]:
        """How the function waits for its new steps: together, when each is all that is left of its branch.

        A step that raises changes nothing: its branch waits for the others all the same.
        """
        return [None if self._joined and not self.raced else "race"] * len(steps)

    def failure_mode(self, step: RequestedStep) -> ParallelMode | None:
        """How the function waits for an open step that has failed."""
        return self.modes([step])[0] if self._parallel else "race"

    async def close(self) -> None:
        """Unwind the function where it waits. One that is busy is left to itself, until it comes to a step."""
        at_step, self._waits = self._at_step, False
        self._go_on(finished=False)
        if at_step:
            await asyncio.wait({self._rest}, timeout=self._patience_s)

    def _is_joined(self) -> bool:
        """Whether nothing goes on after the step call in progress before all branches beside it are done."""
        return self._depth == 0 or (self._depth == 1 and _is_whole_branch())

    def _note_race(self) -> None:
        self.raced = self.raced or (self._overlaps and not self._is_joined())

    def _go_on(self, *, finished: bool) -> None:
        self._at_step = False
        self._rest = self._loop.create_future()
        self._answers.put(finished)

    async def _come_to_rest(self) -> Progress:
        await asyncio.wait({self._rest})
        progress = self._rest.result()
        if not isinstance(progress, Raised):
            self._replay.check_order(self._replay.new_steps)
        return progress

    def _run(self, handler: Callable[[], Any]) -> None:
        """What the thread does."""
        self._thread_id = threading.get_ident()
        EXECUTING.set(None)
        self._tell(self._outcome(handler))

    def _outcome(self, handler: Callable[[], Any]) -> Progress:
        try:
            value = handler()
        except StepInterrupt:
            return Paused()
        except BaseException as error:  # noqa: BLE001 - whatever the function raises is its failure
            return Paused() if self._interrupt else Raised(error)
        return Returned(value)

    def _wait_for(self, step: RequestedStep) -> Memo | None:
        """In the thread: let the call execute ``step``; its memo, or None when the function is to be unwound."""
        if not self._tell(Paused(), at_step=True):
            return None
        return self._replay.memo(step) if self._answers.get() else None

    def _tell(self, rest: Progress, *, at_step: bool = False) -> bool:
        """In the thread: the function has come to rest. False when nobody is left to hear of it."""
        try:
            self._loop.call_soon_threadsafe(self._note_rest, rest, at_step)
        except RuntimeError:  # the loop is closed
            return False
        return True

    def _note_rest(self, rest: Progress, at_step: bool) -> None:
        if self._rest.done():
            return
        self._at_step = at_step
        self._rest.set_result(rest)

    def _unwind(self, reason: str) -> StepInterrupt:
        self._interrupt = StepInterrupt(f"{reason}; the run goes on in a later call: let this pass")
        return self._interrupt

    def _refuse_elsewhere(self, step_id: str) -> None:
        if threading.get_ident() != self._thread_id:
            raise misuse(step_id, "called from another thread than its function; use step.parallel for parallel steps")
        if running_loop() is not None:
            raise misuse(step_id, "called from a coroutine, but its function is plain; make the function async def")


def _is_whole_branch() -> bool:
    """Whether the step call in progress is all that is left of the branch it is made in."""
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe()  # pyright: ignore[reportPrivateUsage] - the module documents it
    while frame is not None and frame.f_code is not ThreadHost.parallel.__code__:
        if not frame.f_globals.get("__name__", "").startswith("stepwell."):
            frames.append(frame)
        frame = frame.f_back
    return not frames or (len(frames) == 1 and returns_at_once(frames[0]))
