"""Whether steps are waited for together, so that the server may hold the next discovery until all are done.

``None`` (the protocol's "wait") is exact only when nothing of the function can go on before the last step is done;
"race" is always correct and costs a call request more per step (protocol 5.6). What the server ends, it ends with the
mode it was reported with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from stepwell.executing.loop.remaining_code import waits_again
from stepwell.executing.loop.waiting import (
    AnyFuture,
    all_joined_by,
    callbacks_of,
    frames_of,
    gathered,
    keeps_exceptions,
    waiter_of,
)
from stepwell.steps.awaitable import PendingStep, StepFuture

Joined = Mapping[StepFuture, bool]
"""Steps that are waited for together, and whether their failures are kept as results."""


def joins_exactly(handler: asyncio.Task[Any], pending: Collection[StepFuture]) -> bool:
    """Whether ``handler`` waits for all of ``pending`` and nothing else, with no code of the function in between."""
    group = _joined_by_handler(handler)
    return group is not None and not group.branches and group.steps.keys() == set(pending)


def joined_steps(
    handler: asyncio.Task[Any], pending: Collection[StepFuture], tasks: Collection[AnyFuture]
) -> Joined | None:
    """All of ``pending``, when ``handler`` waits for them together and nothing can go on before the last is done.

    A branch of the function may be among them while it waits for nothing after its step; then ``tasks``, which are
    those the function has started, must all belong to the group, since such a branch may yet wake others.
    """
    group = _joined_by_handler(handler)
    if group is None or group.steps.keys() != set(pending):
        return None
    return group.steps if not group.branches or group.tasks.issuperset(tasks) else None


@dataclass(slots=True)
class _Group:
    steps: dict[StepFuture, bool] = field(default_factory=dict)
    tasks: set[AnyFuture] = field(default_factory=set)
    branches: bool = False

    def collect(self, future: AnyFuture, *, kept: bool) -> bool:
        """Add the steps below ``future``; False when anything else hangs there, or somebody else listens too."""
        if future.done():
            return True
        if len(callbacks_of(future)) != 1:
            return False
        kept = kept or keeps_exceptions(future)
        if isinstance(future, StepFuture):
            self.steps[future] = kept
            return True
        if isinstance(future, asyncio.Task):
            self.tasks.add(future)
            return self._collect_below(future, kept=kept)
        members = gathered(future)
        return members is not None and all(self.collect(member, kept=kept) for member in members)

    def collect_awaited(self, task: asyncio.Task[Any], *, kept: bool) -> bool:
        """The same for what ``task`` itself waits for."""
        waiter = waiter_of(task)
        if waiter is None:
            return False
        if isinstance(waiter, StepFuture | asyncio.Task) or gathered(waiter):
            return self.collect(waiter, kept=kept)
        members, members_kept = all_joined_by(task)
        return bool(members) and all(self.collect(member, kept=kept or members_kept) for member in members)

    def _collect_below(self, task: asyncio.Task[Any], *, kept: bool) -> bool:
        wrapped = task.get_coro()
        if isinstance(wrapped, PendingStep):
            return self.collect(wrapped.future, kept=kept)
        self.branches = True
        return not _goes_on(task) and self.collect_awaited(task, kept=kept)


def _joined_by_handler(handler: asyncio.Task[Any]) -> _Group | None:
    group = _Group()
    return group if group.collect_awaited(handler, kept=False) else None


def _goes_on(task: asyncio.Task[Any]) -> bool:
    """Whether a branch may wait for more after what it waits for now. asyncio's own joins are over then."""
    own = [frame for frame in frames_of(task) if frame is None or not _is_asyncio(frame.f_globals.get("__name__"))]
    return any(waits_again(frame) for frame in own)


def _is_asyncio(module: Any) -> bool:
    return isinstance(module, str) and module.startswith("asyncio.")
