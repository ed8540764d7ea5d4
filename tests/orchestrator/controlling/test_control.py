"""What people ask for survives a crash in the middle."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.controlling.control import Control, Handle
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import SPARE_ITEM_DELAY_MS
from stepwell_orchestrator.model.notice import NoticeKind
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.model.run import RunStatus
from tests.orchestrator.worker.harness import Script, World
from tests.orchestrator.world import counting_entropy


async def die(_item: QueueItem, _deliveries: int) -> int | None:
    """A worker's process that ends."""
    raise ConnectionError("the process died")


class CrossedQueue:
    """A queue whose other workers take what is sent before the sender goes on."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def send(self, items: Any) -> None:
        await self._world.backend.queue.send(items)
        await self._world.settle()


def control_of(world: World, queue: Any = None, handle: Handle | None = None) -> Control:
    backend = world.backend
    return Control(
        backend.journal,
        backend.waits,
        backend.registry,
        queue or backend.queue,
        world.clock,
        ids=FreshIds(world.clock, counting_entropy()),
        handle=handle or world.worker.handle,
        observe=world.notices.append,
    )


async def ended_world() -> World:
    world = World(Script([["a"]]))
    await world.register()
    await world.send()
    await world.run_to_end()
    return world


async def test_a_rerun_goes_on_when_its_asker_dies() -> None:
    """A rerun that was queued but neither created nor started is so by what was queued."""
    world = await ended_world()
    (original,) = await world.headers()
    await world.clock.advance(1)
    with pytest.raises(ConnectionError):
        await control_of(world, handle=die).rerun(original.run_id)
    await world.clock.advance(SPARE_ITEM_DELAY_MS)
    await world.settle()
    assert [header.status for header in await world.headers()] == [RunStatus.COMPLETED, RunStatus.COMPLETED]


async def test_a_rerun_can_be_cancelled_by_what_comes_after_it() -> None:
    """A rerun has the cancellations and the time limits of its function, and no earlier event cancels it."""
    cancel_on = {"event": "order/cancelled", "if": "event.data.id == async.data.id"}
    world = World(Script([["sleep:1h"]]), options={"cancel": [cancel_on], "timeouts": {"finish": "30m"}})
    await world.register()
    await world.send(data={"id": 7})
    await world.settle()
    await world.clock.advance(1_000)
    await world.send("order/cancelled", data={"id": 7})
    await world.settle()
    (original,) = await world.headers()
    assert original.status is RunStatus.CANCELLED

    await world.clock.advance(1_000)
    control = control_of(world)
    first, second = [await control.rerun(original.run_id) for _ in range(2)]
    await world.settle()
    assert {header.status for header in (await world.headers())[1:]} == {RunStatus.RUNNING}
    await world.clock.advance(1_000)
    await control.cancel(first)
    await world.send("order/cancelled", number=2, data={"id": 7})
    await world.settle()
    header = await world.backend.journal.get_header(second)
    assert header is not None
    assert header.status is RunStatus.CANCELLED

    third = await control.rerun(original.run_id)
    await world.settle()
    await world.clock.advance(30 * 60_000)
    await world.settle()
    header = await world.backend.journal.get_header(third)
    assert header is not None
    assert header.status is RunStatus.CANCELLED


async def test_a_rerun_is_told_and_runs_once() -> None:
    """A rerun makes one new run, whose later queue item finds nothing left to do."""
    world = await ended_world()
    (original,) = await world.headers()
    rerun_id = await control_of(world).rerun(original.run_id)
    await world.run_to_end()
    assert world.script.bodies == {"a": 2}
    created = [notice.run_id for notice in world.notices if notice.kind is NoticeKind.RUN_CREATED]
    assert created == [original.run_id, rerun_id]


async def test_the_sender_of_a_signal_that_wins_is_told_so() -> None:
    """Workers that take what a signal queues, as soon as it is queued, do not make its sender a loser."""
    world = World(Script([["wait"]], ops={"wait": ("WaitForSignal", {"signal": "go", "timeout": "1h"})}))
    await world.register()
    await world.send()
    await world.settle()
    (run,) = await world.headers()
    control = control_of(world, CrossedQueue(world))
    assert await control.signal("go", 1) == run.run_id
    assert await control.signal("go", 2) is None
    await world.run_to_end()
    (run,) = await world.headers()
    assert run.status is RunStatus.COMPLETED
