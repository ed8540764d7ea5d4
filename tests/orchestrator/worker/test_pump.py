from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from stepwell_orchestrator.controlling.lines import Lines
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, LEASE_RENEW_MS, SWEEP_MS
from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.local.queue import Delivery
from stepwell_orchestrator.model.queue_item import Drive, QueueItem
from stepwell_orchestrator.worker.pump import Pump
from tests.conformance.samples import NOW_MS, UNTIL_MS, a_header, create_driven, run_id

Work = Callable[[str, int], Awaitable[int | None]]


async def done(item_id: str, deliveries: int) -> int | None:
    """Work that is done at once."""
    return None


@dataclass
class World:
    """A pump on a virtual clock; ``handled`` has when which item was begun, at which delivery."""

    backend: LocalBackend
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(NOW_MS))
    handled: list[tuple[int, str, int]] = field(default_factory=list)
    work: Work = done

    def pump(self, *, concurrency: int = 200) -> Pump[Delivery]:
        """A pump for this world."""
        backend = self.backend
        lines = Lines(backend.flow, backend.journal, backend.registry, backend.queue, self.clock)
        return Pump(
            self.backend.queue,
            self._handle,
            self.clock,
            journal=self.backend.journal,
            lines=lines,
            concurrency=concurrency,
        )

    async def _handle(self, item: QueueItem, deliveries: int) -> int | None:
        self.handled.append((self.clock.now_ms() - NOW_MS, item.id, deliveries))
        return await self.work(item.id, deliveries)

    async def send(self, *names: str, delay_ms: int = 0) -> None:
        """Queue an item for each name."""
        due_at_ms = self.clock.now_ms() + delay_ms
        await self.backend.queue.send([QueueItem(name, Drive(name, "test"), due_at_ms) for name in names])

    @asynccontextmanager
    async def running(self, *, concurrency: int = 200) -> AsyncIterator[Pump[Delivery]]:
        """A pump that runs."""
        pump = self.pump(concurrency=concurrency)
        running = asyncio.create_task(pump.run())
        try:
            await self.clock.advance(0)
            yield pump
        finally:
            running.cancel()
            await asyncio.wait([running])


@pytest.fixture
def world() -> Iterator[World]:
    """A world on a database in memory."""
    backend = LocalBackend.open(None)
    yield World(backend)
    backend.close()


async def test_items_are_handled_at_their_time_and_done(world: World):
    """Each item is handled once, at the millisecond it is due, and then leaves the queue."""
    await world.send("late", delay_ms=7_500)
    await world.send("now")
    async with world.running():
        await world.clock.advance(20_000)
    assert world.handled == [(0, "now", 1), (7_500, "late", 1)]
    assert await world.backend.queue.next_at_ms() is None


async def test_an_item_sent_to_a_pump_at_rest_is_handled_at_once(world: World):
    """A pump that waits for a far-off item takes a nearer one as soon as it is sent."""
    await world.send("far", delay_ms=50_000)
    async with world.running():
        await world.clock.advance(1_000)
        await world.send("near")
        await world.send("soon", delay_ms=10)
        await world.clock.advance(10)
        assert world.handled == [(1_000, "near", 1), (1_010, "soon", 1)]


async def test_an_item_with_a_new_time_comes_again_then(world: World):
    """An item for which the worker names a time is handed out again at that time, and counted."""

    async def twice(_: str, deliveries: int) -> int | None:
        await world.clock.sleep_until(NOW_MS + 300)
        return NOW_MS + 400 if deliveries == 1 else None

    world.work = twice
    await world.send("again")
    async with world.running():
        await world.clock.advance(DELIVERY_LEASE_MS * 2)
    assert world.handled == [(0, "again", 1), (400, "again", 2)]


async def test_a_failure_is_logged_and_comes_again_when_its_lease_ends(world: World, caplog: pytest.LogCaptureFixture):
    """An item whose handling raises is told with its id and cause, and comes again exactly one lease later."""

    async def fail_once(_: str, deliveries: int) -> int | None:
        if deliveries == 1:
            raise ZeroDivisionError("oops")
        return None

    world.work = fail_once
    await world.send("bad", "good")
    async with world.running():
        await world.clock.advance(DELIVERY_LEASE_MS - 1)
        assert world.handled == [(0, "bad", 1), (0, "good", 1)]
        await world.clock.advance(1)
    assert world.handled[2:] == [(DELIVERY_LEASE_MS, "bad", 2), (DELIVERY_LEASE_MS, "good", 2)]
    assert [record.getMessage() for record in caplog.records] == [
        f"queue item {name} failed at delivery 1; it comes again when its lease expires" for name in ("bad", "good")
    ]


async def test_a_long_call_keeps_its_item(world: World):
    """An item in flight is handed to nobody else however long it takes."""
    finish = asyncio.Event()

    async def wait(item_id: str, _: int) -> int | None:
        if item_id == "long":
            await finish.wait()
        return None

    world.work = wait
    await world.send("long")
    async with world.running():
        for _ in range(20):
            await world.clock.advance(LEASE_RENEW_MS)
            await world.send("short")
        lease_left_ms = (await world.backend.queue.next_at_ms() or 0) - world.clock.now_ms()
        assert DELIVERY_LEASE_MS - LEASE_RENEW_MS <= lease_left_ms <= DELIVERY_LEASE_MS
        finish.set()
        await world.clock.advance(DELIVERY_LEASE_MS)
    assert [row[1:] for row in world.handled] == [("long", 1), *[("short", 1)] * 20]
    assert await world.backend.queue.next_at_ms() is None


async def test_no_more_than_its_capacity_is_in_flight(world: World):
    """A full pump takes the next item the moment one is done, and never earlier."""
    turns = [asyncio.Event() for _ in range(5)]

    async def wait(item_id: str, _: int) -> int | None:
        await turns[int(item_id)].wait()
        return None

    world.work = wait
    await world.send(*"01234")
    async with world.running(concurrency=2):
        assert [row[1] for row in world.handled] == ["0", "1"]
        turns[1].set()
        await world.clock.advance(0)
        assert [row[1] for row in world.handled] == ["0", "1", "2"]
        for turn in turns:
            turn.set()
        await world.clock.advance(0)
    assert [row[1:] for row in world.handled] == [(name, 1) for name in "01234"]


async def test_a_pump_at_rest_does_nothing(world: World):
    """Between two sweeps, with nothing due, not one statement is executed."""
    await world.send("far", delay_ms=10 * SWEEP_MS)
    async with world.running():
        statements: list[str] = []
        async with world.backend.database.read() as db:
            db.set_trace_callback(statements.append)
        await world.clock.advance(SWEEP_MS - 1)
        assert statements == []
        await world.clock.advance(1)
        assert statements != []


async def test_runs_of_dead_drivers_are_queued_at_the_start_and_every_minute(world: World):
    """A sweep finds the runs whose lease has expired, at the start and then once a SWEEP_MS, and no others."""
    for number in (1, 2):
        await create_driven(world.backend.journal, number)
    await world.backend.journal.renew(run_id(1), 1, NOW_MS)
    async with world.running():
        assert [row[1].split(":")[:2] for row in world.handled] == [[run_id(1), "sweep"]]
        await world.backend.journal.renew(run_id(1), 1, NOW_MS + 10 * SWEEP_MS)
        await world.clock.advance(SWEEP_MS - 1)
        assert len(world.handled) == 1
        await world.clock.advance(1)
        assert [row[1].split(":")[0] for row in world.handled] == [run_id(1), run_id(2)]


async def test_a_run_is_queued_once_a_sweep(world: World):
    """Sweeping twice within the same time queues a run once, and again in the next."""
    await create_driven(world.backend.journal)
    pump = world.pump()
    await world.clock.advance(UNTIL_MS - NOW_MS)
    assert await pump.sweep() == 1
    await world.clock.advance(10_000)
    assert await pump.sweep() == 1
    assert len(await world.backend.queue.items_of_run(run_id(1))) == 1
    await world.clock.advance(SWEEP_MS)
    await pump.sweep()
    items = await world.backend.queue.items_of_run(run_id(1))
    assert [item.work for item in items] == [Drive(run_id(1), "sweep")] * 2


async def test_a_sweep_forgets_expired_keys(world: World):
    """After a sweep nothing expired is left to prune."""
    await world.backend.journal.create_run(a_header(), idempotency_keys=["key"], expires_at_ms=NOW_MS)
    await world.pump().sweep()
    assert await world.backend.journal.prune(NOW_MS, 10) == 0


async def test_stopping_lets_what_is_in_flight_finish(world: World):
    """A pump that stops takes nothing new, keeps the leases of what is in flight, and ends when that is done."""

    async def take_long(_: str, __: int) -> int | None:
        await world.clock.sleep_until(NOW_MS + 8_000)
        return None

    world.work = take_long
    await world.send("before")
    pump = world.pump()
    running = asyncio.create_task(pump.run())
    await world.clock.advance(0)
    stopping = asyncio.create_task(pump.stop())
    await world.clock.advance(0)
    await world.send("after")
    await world.clock.advance(7_999)
    assert (running.done(), stopping.done()) == (False, False)
    await world.clock.advance(1)
    assert (running.done(), stopping.done()) == (True, True)
    assert world.handled == [(0, "before", 1)]
    assert [delivery.item.id for delivery in await world.backend.queue.receive(9, NOW_MS + 8_000, UNTIL_MS)] == [
        "after"
    ]


async def test_stopping_does_not_wait_for_ever(world: World):
    """What is not done within the grace is cancelled, and its item stays leased to come again."""
    ended: list[str] = []

    async def hang(item_id: str, _: int) -> int | None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item_id)
        return None

    world.work = hang
    await world.send("stuck")
    pump = world.pump()
    running = asyncio.create_task(pump.run(grace_ms=5_000))
    await world.clock.advance(0)
    stopping = asyncio.create_task(pump.stop())
    await world.clock.advance(4_999)
    assert (ended, running.done()) == ([], False)
    await world.clock.advance(1)
    assert (ended, running.done(), stopping.done()) == (["stuck"], True, True)
    assert await world.backend.queue.next_at_ms() == NOW_MS + DELIVERY_LEASE_MS


async def test_a_cancelled_pump_cancels_what_is_in_flight(world: World):
    """Cancelling a pump ends its handlers before it ends itself."""
    ended: list[str] = []

    async def hang(item_id: str, _: int) -> int | None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item_id)
        return None

    world.work = hang
    await world.send("a", "b")
    async with world.running():
        assert ended == []
    assert sorted(ended) == ["a", "b"]


async def test_a_stopped_pump_stays_stopped(world: World):
    """Stopping a pump that does not run returns at once, and running it afterwards does nothing."""
    pump = world.pump()
    await pump.stop()
    await world.send("item")
    await pump.run()
    assert world.handled == []


async def test_a_store_that_fails_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """While the queue cannot be read the pump tries once a second, says so, and goes on when it can."""
    receive = world.backend.queue.receive

    async def fail_for_a_while(limit: int, now_ms: int, until_ms: int) -> Sequence[Delivery]:
        if now_ms < NOW_MS + 2_500:
            raise StoreError("disk full")
        return await receive(limit, now_ms, until_ms)

    monkeypatch.setattr(world.backend.queue, "receive", fail_for_a_while)
    await world.send("item")
    async with world.running():
        await world.clock.advance(10_000)
    assert world.handled == [(3_000, "item", 1)]
    assert len(caplog.records) == 3


async def test_draining_handles_what_is_due_and_what_comes_of_it(world: World):
    """A drain ends when nothing is due, tells how many items it handled, and leaves the future alone."""

    async def send_on(item_id: str, _: int) -> int | None:
        if item_id.isdigit() and int(item_id) < 3:
            await world.send(str(int(item_id) + 1))
        return None

    world.work = send_on
    await world.send("0", "other")
    await world.send("future", delay_ms=1)
    assert await world.pump(concurrency=1).drain() == 5
    assert sorted(row[1] for row in world.handled) == ["0", "1", "2", "3", "other"]
    assert await world.backend.queue.next_at_ms() == NOW_MS + 1
