"""Runs a ``def`` function under a replay, in a thread: a stored step returns, a new one unwinds the function."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from stepwell.body import EXECUTING, refuse_nested
from stepwell.calls import misuse
from stepwell.errors import DefinitionError
from stepwell.parallel_mode import is_whole_branch
from stepwell.replay import Paused, Progress, Raised, Replay, RequestedStep, Returned, StepCall, result_of
from stepwell.waiting import running_loop
from stepwell.wire.opcodes import ParallelMode


class StepInterrupt(BaseException):
    """Unwinds a ``def`` function at a step that has not finished. ``except Exception`` lets it pass, as it should."""


class ThreadHost:
    """One call of one plain function; used once: ``advance``, then ``close``."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._interrupt: StepInterrupt | None = None
        self._depth = 0
        self._joined = True
        self._thread_id = 0

    def request(self, call: StepCall) -> Any:
        """The stored result of a step call. Raises StepInterrupt when there is none yet."""
        refuse_nested(call.user_id)
        self._refuse_elsewhere(call.user_id)
        if self._interrupt is not None:
            raise self._interrupt
        step = self._replay.request(call)
        if self._depth == 0 and step.hashed in self._replay.call.steps and not self._replay.in_order:
            self._replay.check_order([step])
        memo = self._replay.memo(step)
        if memo is None:
            self._joined = self._joined and (self._depth == 0 or (self._depth == 1 and _is_whole_branch()))
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
        progress = await asyncio.to_thread(self._run, handler)
        if not isinstance(progress, Raised):
            self._replay.check_order(self._replay.new_steps)
        return progress

    def reportable(self, progress: Progress) -> list[RequestedStep]:
        """The new steps the function waits for."""
        return self._replay.new_steps

    def modes(self, steps: Sequence[RequestedStep]) -> list[ParallelMode | None]:
        """How the function waits for its new steps: together, when each is all that is left of its branch.

        A step that raises changes nothing: its branch waits for the others all the same.
        """
        return [None if self._joined else "race"] * len(steps)

    async def close(self) -> None:
        """Nothing is left: the function was unwound."""

    def _run(self, handler: Callable[[], Any]) -> Progress:
        self._thread_id = threading.get_ident()
        EXECUTING.set(None)
        try:
            value = handler()
        except StepInterrupt:
            return Paused()
        except Exception as error:  # noqa: BLE001 - the function's failure is the outcome
            return Paused() if self._interrupt else Raised(error)
        return Returned(value)

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
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not ThreadHost.parallel.__code__:
        if not frame.f_globals.get("__name__", "").startswith("stepwell."):
            frames.append(frame)
        frame = frame.f_back
    return not frames or (len(frames) == 1 and is_whole_branch(frames[0]))
