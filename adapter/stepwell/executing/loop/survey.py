"""What the tasks of a function wait for, followed through everything that joins them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from stepwell.executing.loop.outside import waits_outside
from stepwell.executing.loop.waiting import AnyFuture, gathered, joined_by, shielded, waiter_of
from stepwell.steps.awaitable import StepFuture


@dataclass(slots=True)
class Survey:
    """What the tasks explored so far wait for.

    ``ready``: one of them is about to run. ``steps``: steps. ``outside``: futures that I/O or a thread resolves.
    ``inside``: the futures of anything else, which is up to another task of the function: a lock, an event, a queue.
    ``seen`` holds every future on the way.
    """

    ready: bool = False
    inside: list[AnyFuture] = field(default_factory=list)
    outside: list[AnyFuture] = field(default_factory=list)
    steps: set[StepFuture] = field(default_factory=set)
    seen: set[AnyFuture] = field(default_factory=set)

    def explore(self, *roots: AnyFuture) -> None:
        """Follow everything that ``roots`` wait for."""
        queue = list(roots)
        while queue:
            future = queue.pop()
            if future.done() or future in self.seen:
                continue
            self.seen.add(future)
            if isinstance(future, StepFuture):
                self.steps.add(future)
            elif isinstance(future, asyncio.Task):
                queue.extend(self._awaited_by(future))
            else:
                queue.extend(self._inside(future, None))

    def _awaited_by(self, task: asyncio.Task[Any]) -> Iterable[AnyFuture]:
        waiter = waiter_of(task)
        if waiter is None or waiter.done():
            self.ready = True
            return ()
        if isinstance(waiter, StepFuture | asyncio.Task):
            return (waiter,)
        return self._inside(waiter, task)

    def _inside(self, waiter: AnyFuture, task: asyncio.Task[Any] | None) -> Iterable[AnyFuture]:
        joined = gathered(waiter) or shielded(waiter) or (None if task is None else joined_by(task))
        if joined:
            return joined
        (self.outside if waits_outside(waiter, task) else self.inside).append(waiter)
        return ()
