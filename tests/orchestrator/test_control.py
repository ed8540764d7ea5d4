"""What people ask for survives a crash in the middle."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.control import Control
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import LEASE_MS
from stepwell_orchestrator.model.notice import NoticeKind
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.world import counting_entropy
from tests.worker.harness import Script, World


class DyingQueue:
    """A queue whose process dies at the second send."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._sends = 0

    async def send(self, items: Any) -> None:
        self._sends += 1
        if self._sends == 2:
            raise ConnectionError("the process died")
        await self._queue.send(items)


def control_of(world: World, queue: Any) -> Control:
    backend = world.backend
    return Control(
        backend.journal,
        backend.waits,
        backend.registry,
        queue,
        world.clock,
        ids=FreshIds(world.clock, counting_entropy()),
        handle=world.worker.handle,
        observe=world.notices.append,
    )


async def ended_world() -> World:
    world = World(Script([["a"]]))
    await world.register()
    await world.send()
    await world.run_to_end()
    return world


async def test_a_rerun_goes_on_when_its_asker_dies() -> None:
    """A rerun that was created but never queued for now is driven by what was queued before."""
    world = await ended_world()
    (original,) = await world.headers()
    await world.clock.advance(1)
    with pytest.raises(ConnectionError):
        await control_of(world, DyingQueue(world.backend.queue)).rerun(original.run_id)
    await world.settle()
    assert [header.status for header in await world.headers()] == [RunStatus.COMPLETED, RunStatus.QUEUED]
    await world.clock.advance(LEASE_MS)
    await world.settle()
    assert [header.status for header in await world.headers()] == [RunStatus.COMPLETED, RunStatus.COMPLETED]


async def test_a_rerun_is_told_and_runs_once() -> None:
    """A rerun makes one new run, whose later queue item finds nothing left to do."""
    world = await ended_world()
    (original,) = await world.headers()
    rerun_id = await control_of(world, world.backend.queue).rerun(original.run_id)
    await world.run_to_end()
    assert world.script.bodies == {"a": 2}
    created = [notice.run_id for notice in world.notices if notice.kind is NoticeKind.RUN_CREATED]
    assert created == [original.run_id, rerun_id]
