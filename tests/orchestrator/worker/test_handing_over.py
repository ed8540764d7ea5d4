"""A worker whose process is about to be stopped begins nothing more, and leaves what it had to the next delivery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, DRIVE_LEASE_MS
from stepwell_orchestrator.model.decision import PutProgress
from stepwell_orchestrator.model.queue_item import Drive, Execute
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.ports import Acquired, Ports
from stepwell_orchestrator.worker import Worker
from stepwell_orchestrator.worker.held_run import HeldRun
from stepwell_orchestrator.worker.limiting.call_slots import CallSlots
from tests.orchestrator.worker.harness import Script, ScriptInvoker, World


def stopping(world: World, stops_at_ms: Callable[[], int | None]) -> Worker:
    """A worker of the world that is about to stop."""
    backend, invoker = world.backend, ScriptInvoker(world.scripts)
    ports = Ports(
        backend.journal, backend.waits, backend.registry, backend.queue, invoker, world.clock, flow=backend.flow
    )
    return Worker(ports, retry_delay_ms=1_000, stops_at_ms=stops_at_ms)


async def started(script: Script) -> World:
    world = World(script)
    await world.register()
    await world.send()
    return world


async def test_a_driver_hands_its_run_over_between_two_calls() -> None:
    """Once its time is over it makes no call, frees the lease, and the run goes on from there at another delivery."""
    world = await started(Script([["a"], ["b"], ["c"]]))
    late = stopping(world, lambda: 0 if len(world.script.calls) >= 2 else None)
    for _ in range(2):
        now_ms = world.clock.now_ms()
        for delivery in await world.backend.queue.receive(10, now_ms, now_ms + DELIVERY_LEASE_MS):
            assert await late.handle(delivery.item, delivery.deliveries) is None
            await world.backend.queue.ack(delivery)
    run = await world.run()
    (item,) = await world.backend.queue.items_of_run(run.header.run_id)
    assert item.work == Drive(run.header.run_id, "handed over")
    assert (len(world.script.calls), run.header.lease_until_ms) == (2, None)
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert world.script.bodies == {"a": 1, "b": 1, "c": 1}
    assert len(world.script.calls) == 4


async def test_a_planned_step_is_handed_back_unclaimed() -> None:
    """A worker that is late does not claim a step: the item is to be handed out again at once."""
    world = await started(Script([["a", "b"]]))
    now_ms = world.clock.now_ms()
    for delivery in await world.backend.queue.receive(10, now_ms, now_ms + DELIVERY_LEASE_MS):
        await world.worker.handle(delivery.item, delivery.deliveries)
        await world.backend.queue.ack(delivery)
    for delivery in await world.backend.queue.receive(10, now_ms, now_ms + DELIVERY_LEASE_MS):
        await world.worker.handle(delivery.item, delivery.deliveries)
        await world.backend.queue.ack(delivery)
    steps = await world.backend.queue.receive(10, now_ms, now_ms + DELIVERY_LEASE_MS)
    late = stopping(world, lambda: now_ms)
    for delivery in steps:
        assert isinstance(delivery.item.work, Execute)
        assert await late.handle(delivery.item, 1) == now_ms
    assert {entry.status for entry in (await world.run()).entries.values()} == {StepStatus.PLANNED}


async def test_places_given_without_a_call_are_stored_before_the_next_one() -> None:
    """A driver that placed arrivals, could not release and then owes a call stores their places first."""
    world = await started(Script([["quick", "other", "sleep:1h"], ["after"]]))
    await world.settle()
    journal, now_ms = world.backend.journal, world.clock.now_ms()
    run_id = (await world.run()).header.run_id
    acquired = await journal.acquire(run_id, now_ms, now_ms + DRIVE_LEASE_MS)
    assert isinstance(acquired, Acquired)
    in_hand = replace(acquired.header.progress, discovered=None)
    assert len(in_hand.placed) == 2
    await journal.commit(run_id, [PutProgress(replace(in_hand, placed={}))], term=acquired.header.term)
    stored_at_calls: list[int] = []

    async def before_reply(_target: str) -> None:
        header = await journal.get_header(run_id)
        stored_at_calls.append(0 if header is None else len(header.progress.placed))

    world.script.before_reply = before_reply
    driver = world.worker._driver
    header = acquired.header
    held = HeldRun(await world.run(), world.function, in_hand, header.term, header.wanted)
    slots = CallSlots.of_drive(driver.tools.keeper, header, world.function, entered=False)
    await driver.discoverer.discover_while_owed(await driver.committer.reload(held), slots)
    assert stored_at_calls == [2]
