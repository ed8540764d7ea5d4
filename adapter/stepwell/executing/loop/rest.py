"""The search for rest: until nothing that a function started is scheduled, and everything it started waits.

| what a task of the function waits for | at rest | why |
| --- | --- | --- |
| a step, a timer of the function's | yes | the server knows of it, or is told now |
| a lock, an event, a queue, a bare future | yes | it is up to another task of the function, which waits itself |
| the same, while the journal says that the function went on from here | no | then it was up to something outside |
| I/O, a thread | no | it ends by itself, and the function goes on |
| nothing: it is about to run | no | |

A task that nobody listens to holds nobody back while it does I/O: it may be there for good.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell.executing.loop.scheduled import is_scheduled, sees_schedule
from stepwell.executing.loop.starter import Starter
from stepwell.executing.loop.survey import Survey
from stepwell.executing.loop.waiting import AnyFuture, callbacks_of, has_unseen_failure, next_pass, tasks_waiting_for
from stepwell.steps.awaitable import StepFuture

PASSES_MAX: Final = 1_000
"""Passes of the loop a function may spin before it counts as busy with something else."""

PASSES_UNSEEN: Final = 20
"""Passes in which all must look the same where the loop does not show what is scheduled: a callback takes one."""


@dataclass(slots=True)
class Rest:
    """Finds out when the function that ``handler`` runs, with all that it started, is at rest."""

    handler: asyncio.Task[Any]
    starter: Starter
    loop: asyncio.AbstractEventLoop
    awaited: set[StepFuture] = field(default_factory=set)
    """The steps that the handler itself has waited for, through whatever joined them."""
    heard: set[AnyFuture] = field(default_factory=set)
    """The tasks that somebody has listened to."""
    woken: set[asyncio.Task[Any]] = field(default_factory=set)
    """The tasks that were given what they waited for, which go on from there."""
    _started: list[AnyFuture] = field(default_factory=list)

    def note_task(self, task: AnyFuture) -> None:
        """Take note of a task that the function started."""
        self._started.append(task)

    def wake(self, step: StepFuture) -> None:
        """Take note of the tasks that are about to be given the result of ``step``."""
        self.woken = {task for task in self.woken if not task.done()} | set(tasks_waiting_for(step))
        self.woken.discard(self.handler)

    @property
    def started(self) -> list[AnyFuture]:
        """The tasks of the function that are not done, but for its handler."""
        self._started = [task for task in self._started if not task.done() or has_unseen_failure(task)]
        return [task for task in self._started if not task.done()]

    def failed(self) -> list[asyncio.Task[Any]]:
        """The tasks of the function that have failed, which nobody has noticed."""
        return [task for task in self._started if isinstance(task, asyncio.Task) and has_unseen_failure(task)]

    async def look(self) -> Survey:
        """Let the function run while it is ready, and see what it waits for then.

        ``ready`` of the Survey says that it was ready all the time, for as long as this looked.
        """
        unchanged, before = 0, set[AnyFuture]()
        for _ in range(PASSES_MAX):
            await next_pass()
            if self.handler.done():
                return Survey()
            if is_scheduled(self.loop, self.starter):
                continue
            view = self.survey()
            if view.ready:
                continue
            unchanged = unchanged + 1 if view.seen == before else 0
            before = view.seen
            if sees_schedule(self.loop) or unchanged >= PASSES_UNSEEN:
                return view
        return Survey(ready=True)

    def survey(self) -> Survey:
        """What the function waits for right now."""
        of_handler = Survey()
        of_handler.explore(self.handler)
        self.awaited |= of_handler.steps
        heard = [task for task in self.started if callbacks_of(task) or task in self.woken]
        self.heard.update(heard)
        of_handler.explore(*heard)
        unheard = Survey(seen=set(of_handler.seen))
        unheard.explore(*self.started)
        of_handler.ready = of_handler.ready or unheard.ready
        of_handler.inside += unheard.inside
        of_handler.seen = unheard.seen
        return of_handler
