"""Whether steps are waited for together, so that the server may hold the next discovery until all are done.

``None`` (the protocol's "wait") is exact only when nothing of the function can go on before the last step is done;
"race" is always correct and costs a call request more per step (protocol 5.6). A failed step body says "race" itself;
what the server ends, it ends with the mode it was reported with.
"""

from __future__ import annotations

import asyncio
import dis
import functools
from collections.abc import Collection, Sequence
from types import CodeType, FrameType
from typing import Any

from stepwell.executing.loop.waiting import AnyFuture, callbacks_of, gathered, joined_by, keeps_exceptions, waiter_of
from stepwell.steps.awaitable import PendingStep, StepFuture
from stepwell.wire.opcodes import ParallelMode


def modes_of(
    handler: asyncio.Task[Any], pending: Collection[StepFuture], wanted: Sequence[StepFuture]
) -> list[ParallelMode | None]:
    """The modes of those ``wanted`` among the ``pending`` steps of a function whose handler waits.

    A joined step that may raise before this side knows of it races for itself, where that ends the wait for the others:
    in a ``TaskGroup``, and in a ``gather`` that does not return exceptions.
    """
    joined = _joined(handler)
    if joined is None or joined.keys() != set(pending):
        return ["race"] * len(wanted)
    return ["race" if len(joined) > 1 and future.may_raise and not joined[future] else None for future in wanted]


def joins_exactly(handler: asyncio.Task[Any], pending: Collection[StepFuture]) -> bool:
    """Whether ``handler`` waits for all of ``pending`` and nothing else, through ``gather`` and ``TaskGroup`` alone."""
    joined = _joined(handler)
    return joined is not None and joined.keys() == set(pending)


def is_whole_branch(frame: FrameType | None) -> bool:
    """Whether the function in ``frame`` returns what its current call returns and does nothing more."""
    return frame is not None and _returns_after(frame.f_code, frame.f_lasti)


def _joined(handler: asyncio.Task[Any]) -> dict[StepFuture, bool] | None:
    """The steps that ``handler`` waits for together, and whether their failures are kept as results; None if none."""
    waiter = waiter_of(handler)
    if waiter is None:
        return None
    steps: dict[StepFuture, bool] = {}
    members = [waiter] if isinstance(waiter, StepFuture) or gathered(waiter) else _group_members(handler)
    joined = members is not None and all(_collect(member, steps, kept=False) for member in members)
    return steps if joined else None


def _collect(future: AnyFuture, steps: dict[StepFuture, bool], *, kept: bool) -> bool:
    """Add the steps below ``future``; False when anything but steps hangs there, or somebody else listens too."""
    if future.done():
        return True
    if len(callbacks_of(future)) != 1:
        return False
    kept = kept or keeps_exceptions(future)
    if isinstance(future, StepFuture):
        steps[future] = kept
        return True
    if isinstance(future, asyncio.Task):
        wrapped = future.get_coro()
        return isinstance(wrapped, PendingStep) and _collect(wrapped.future, steps, kept=kept)
    members = gathered(future)
    return members is not None and all(_collect(member, steps, kept=kept) for member in members)


def _group_members(handler: asyncio.Task[Any]) -> list[AnyFuture] | None:
    """The tasks of the TaskGroup whose end ``handler`` waits for; their only callback is the group's."""
    members = joined_by(handler)
    if members and all(_belongs_to_group(member) for member in members):
        return members
    return None


def _belongs_to_group(future: AnyFuture) -> bool:
    owners = [getattr(callback, "__self__", None) for callback in callbacks_of(future)]
    return future.done() or (len(owners) == 1 and isinstance(owners[0], asyncio.TaskGroup))


@functools.lru_cache(maxsize=4096)
def _returns_after(code: CodeType, offset: int) -> bool:
    following = (each.opname for each in dis.get_instructions(code) if each.offset > offset)
    return next(following, "") == "RETURN_VALUE"
