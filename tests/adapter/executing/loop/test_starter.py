"""Tasks a function starts are noted, whatever else the loop's task factory does."""

from __future__ import annotations

import asyncio
from typing import Any

from stepwell.executing.loop.starter import STARTER
from stepwell.executing.loop.starter import note_what_functions_start as note_tasks
from tests.adapter.executing.support import give


class Notes:
    def __init__(self) -> None:
        self.tasks: list[asyncio.Future[Any]] = []

    def note_task(self, task: asyncio.Future[Any]) -> None:
        self.tasks.append(task)


async def test_only_tasks_started_in_its_context_are_noted() -> None:
    """A starter is told of the tasks that it and they start, and of no others."""
    notes = Notes()
    note_tasks(asyncio.get_running_loop())

    async def nested() -> asyncio.Task[Any]:
        return asyncio.create_task(give(2))

    outside = asyncio.create_task(give(1))
    token = STARTER.set(notes)
    first = asyncio.create_task(nested())
    STARTER.reset(token)
    second = await first

    assert notes.tasks == [first, second]
    assert [await outside, await second] == [1, 2]


async def test_the_factory_of_the_loop_is_kept() -> None:
    """A factory that was set before still makes every task, and is wrapped once only."""
    loop, made = asyncio.get_running_loop(), []

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(factory)
    note_tasks(loop)
    wrapped = loop.get_task_factory()
    note_tasks(loop)

    assert await asyncio.create_task(give(1)) == 1
    assert len(made) == 1
    assert loop.get_task_factory() is wrapped
