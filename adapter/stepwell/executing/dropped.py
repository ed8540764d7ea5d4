"""What a function that has ended left behind by mistake, and what its author is told of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from stepwell.executing.loop.contained import coroutine_of
from stepwell.executing.loop.waiting import frames_of
from stepwell.steps.awaitable import StepFuture


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that was left behind; ``file`` and ``line`` say where it was begun."""

    what: str
    file: str
    line: int

    def text(self, function: str) -> str:
        """What the author is told."""
        return f'function "{function}": {self.what} ({self.file}:{self.line})'


def dropped_step(step: StepFuture) -> Dropped:
    """An unfinished step that nobody waited for to the end."""
    assert step.step is not None, "a step that came too late is never registered"
    name = step.step.label
    if step.awaited:
        what = f'step "{name}" was dropped with the task that waits for it: await the task before the function returns'
    else:
        what = f'step "{name}" was never awaited, and was dropped when the function ended: write await before the call'
    file, _, line = step.where.rpartition(":")
    return Dropped(what, file, int(line or 0))


def failed_task(task: asyncio.Task[Any]) -> Dropped:
    """A task that nobody awaits, and that has failed."""
    error = task.exception()
    frame = next((frame for frame in frames_of(task) if frame is not None), None)
    code = getattr(coroutine_of(task), "cr_code", None) if frame is None else frame.f_code
    what = f"a task that nobody awaits failed with {type(error).__name__}: await the task, or handle what it raises"
    return Dropped(what, getattr(code, "co_filename", "?"), getattr(code, "co_firstlineno", 0))
