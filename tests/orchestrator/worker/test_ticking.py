"""Ticks of schedules on the real worker: each starts one run, whoever dies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stepwell.wire.registration import Trigger
from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.accepting.timetable import Timetable
from stepwell_orchestrator.engine.schedules.tick import tick_item
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS
from stepwell_orchestrator.model.queue_item import QueueItem, Tick
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.schedule import SCHEDULED_EVENT, Schedule, schedules_of
from stepwell_orchestrator.ports import Ports
from stepwell_orchestrator.schedules import NoSchedules
from stepwell_orchestrator.worker import Worker
from tests.orchestrator.worker.harness import SLUG, Script, ScriptInvoker, World

EVERY_MINUTE = Trigger(cron="* * * * *")


class Scheduled(World):
    """A world whose function is started by the clock."""

    def __init__(self, *triggers: Trigger) -> None:
        super().__init__(Script([["a"]]))
        self.function = replace(self.function, triggers=triggers or (EVERY_MINUTE,))

    async def start(self) -> None:
        """Register the function, and have it tick."""
        await self.register()
        timetable = Timetable(NoSchedules(), self.backend.registry, self.backend.queue, self.clock)
        await timetable.keep(schedules_of(self.function))

    async def ticks(self) -> list[str]:
        """When the runs were scheduled for, oldest first."""
        return [event.id for event in reversed(await self.events_named(SCHEDULED_EVENT))]

    async def queued(self) -> list[str]:
        """The ids of the ticks in the queue."""
        async with self.backend.database.read() as db:
            ids = [item_id for (item_id,) in db.execute("SELECT id FROM queue ORDER BY due_at_ms, id")]
        return [item_id for item_id in ids if ":tick:" in item_id]

    async def pass_minutes(self, count: int, *, copies: int = 1) -> None:
        """Let minutes pass, each with all that falls due in it."""
        for _ in range(count * 60):
            await self.clock.advance(SECOND_MS)
            await self.settle(copies=copies)


def at(*minutes: int) -> list[str]:
    """The ids of ticks in the first hour of the clock."""
    return [f"2026-01-01T00:{minute:02}:00Z" for minute in minutes]


async def test_each_tick_starts_one_run():
    """A schedule's every tick is one event and one run, which says by which cron it was started."""
    world = Scheduled()
    await world.start()
    await world.pass_minutes(3)
    assert await world.ticks() == at(1, 2, 3)
    headers = await world.headers()
    assert [header.cron for header in headers] == ["* * * * *"] * 3
    assert [header.event_name for header in headers] == [SCHEDULED_EVENT] * 3
    assert {header.status for header in headers} == {RunStatus.COMPLETED}
    assert len(await world.queued()) == 1


async def test_schedules_and_events_side_by_side():
    """Several crons of one function tick each by itself, also in one minute, and its events start it as ever."""
    world = Scheduled(EVERY_MINUTE, Trigger(cron="*/2 * * * *"), Trigger("order/created"))
    await world.start()
    await world.send()
    await world.pass_minutes(2)
    crons = sorted(str(header.cron) for header in await world.headers())
    assert crons == ["* * * * *", "* * * * *", "*/2 * * * *", "None"]


async def test_a_tick_starts_no_other_function():
    """A tick is for its own function, though others tick at the same time, and those on its event's name hear of it."""
    world = Scheduled()
    world.scripts["shop-other"] = Script([])
    await world.start()
    listener = replace(world.function, slug="shop-other", triggers=(Trigger("inngest/*"),))
    app = (await world.backend.registry.list_apps())[0]
    await world.backend.registry.put_app(replace(app, checksum="2"), [world.function, listener])
    await world.pass_minutes(1)
    assert len(await world.headers()) == 1
    assert [header.event_name for header in await world.headers("shop-other")][:1] == [SCHEDULED_EVENT]


async def test_two_tickers_at_once_start_one_run():
    """Two workers that have one tick at the same time make one event, one run and one next tick of it."""
    world = Scheduled()
    await world.start()
    await world.pass_minutes(3, copies=2)
    assert await world.ticks() == at(1, 2, 3)
    assert len(await world.headers()) == 3
    assert len(await world.queued()) == 1


async def test_jitter_delays_a_tick():
    """A tick with jitter starts its run when it fires, and says when it was scheduled for."""
    world = Scheduled(Trigger(cron="* * * * *", jitter="30s"))
    await world.start()
    await world.pass_minutes(2)
    (header, *_) = await world.headers()
    (event, *_) = reversed(await world.events_named(SCHEDULED_EVENT))
    assert event.id == "2026-01-01T00:01:00Z"
    assert header.created_at_ms == event.ts_ms == event.received_at_ms
    assert event.data["fireAt"] != event.data["scheduledAt"]


class CopyingQueue:
    """A queue that takes every item it is sent as a message of its own, as SQS does."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: list[QueueItem] = []

    async def send(self, items: Sequence[QueueItem]) -> None:
        self.sent += [item for item in items if isinstance(item.work, Tick)]


async def test_a_tick_that_was_queued_twice_leads_to_one_next():
    """Of two messages of one tick only the first leads to a next one, so that a doubled schedule is single again."""
    world = Scheduled()
    await world.register()
    queue = CopyingQueue(world)
    worker = world.new_worker(world.backend.journal, queue)
    (schedule,) = schedules_of(world.function)
    item = tick_item(schedule, world.clock.now_ms())
    for _ in range(3):
        assert await worker.handle(item, 1) is None
    assert [sent.work for sent in queue.sent] == [Tick(SLUG, "* * * * *", world.clock.now_ms() + MINUTE_MS)]


async def test_an_early_tick_comes_again():
    """A tick that comes before its time by this worker's clock starts nothing, and is to come again at its time."""
    world = Scheduled()
    await world.register()
    at_ms = world.clock.now_ms() + 10
    assert await world.worker.handle(tick_item(Schedule(SLUG, "* * * * *"), at_ms), 1) == at_ms
    assert await world.ticks() == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_port_call_is_survived(after: bool):
    """Whichever port call a ticker dies at, before or after its effect, each tick starts one run, and it goes on."""
    calls = 0
    while True:
        world = Scheduled()
        await world.start()
        await world.clock.advance(MINUTE_MS)
        mortal = Mortal(world, calls, after=after)
        now_ms = world.clock.now_ms()
        deliveries = await world.backend.queue.receive(10, now_ms, now_ms + DELIVERY_LEASE_MS)
        for delivery in deliveries:
            try:
                await mortal.worker.handle(delivery.item, delivery.deliveries)
                await world.backend.queue.ack(delivery)
            except DeadError:
                pass
        await world.clock.advance(DELIVERY_LEASE_MS)
        await world.pass_minutes(2)
        assert await world.ticks() == at(1, 2, 3)
        assert [header.status for header in await world.headers()] == [RunStatus.COMPLETED] * 3
        assert len(await world.queued()) == 1
        if not mortal.died:
            assert calls > 8
            return
        calls += 1


class DeadError(Exception):
    """The worker is dead."""


class Mortal:
    """A worker that dies at its ``calls``-th port call, just before it or just after its effect."""

    def __init__(self, world: World, calls: int, *, after: bool) -> None:
        self._left = calls
        self._after = after
        self.died = False
        backend = world.backend
        ports = (backend.journal, backend.waits, backend.registry, backend.queue)
        mortal: Any = [MortalPort(self, port) for port in ports]
        self.worker = Worker(Ports(*mortal, ScriptInvoker(world.scripts), world.clock, flow=backend.flow))

    async def through(self, act: Callable[[], Awaitable[Any]]) -> Any:
        """One port call."""
        self._left -= 1
        if self.died or (self._left < 0 and not self._after):
            self.died = True
            raise DeadError
        result = await act()
        if self._left < 0:
            self.died = True
            raise DeadError
        return result


class MortalPort:
    """A port as a mortal worker reaches it."""

    def __init__(self, mortal: Mortal, port: Any) -> None:
        self._mortal = mortal
        self._port = port

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._mortal.through(lambda: method(*args, **kwargs))

        return call


async def test_a_tick_of_a_changed_schedule_starts_nothing_and_leads_to_none():
    """A function registered with another cron ticks by that from then on: the tick still queued starts nothing."""
    world = Scheduled()
    await world.start()
    await world.pass_minutes(1)
    world.function = replace(world.function, triggers=(Trigger(cron="*/5 * * * *"),))
    app = (await world.backend.registry.list_apps())[0]
    await world.backend.registry.put_app(replace(app, checksum="2"), [world.function])
    timetable = Timetable(NoSchedules(), world.backend.registry, world.backend.queue, world.clock)
    await timetable.keep(schedules_of(world.function))
    await world.pass_minutes(5)
    assert await world.ticks() == at(1, 5)
    assert [header.cron for header in await world.headers()] == ["* * * * *", "*/5 * * * *"]
    assert len(await world.queued()) == 1


async def test_a_removed_function_ticks_no_more():
    """A tick of a function that is gone starts nothing, and leads to none."""
    world = Scheduled()
    await world.start()
    await world.backend.registry.remove_app("http://app.test/api")
    await world.pass_minutes(1)
    assert (await world.ticks(), await world.queued()) == ([], [])


@pytest.mark.parametrize(
    ("missed", "expected"),
    [(None, []), ("last", ["2026-01-01T03:00:00Z"]), ("all", [f"2026-01-01T0{hour}:00:00Z" for hour in (1, 2, 3)])],
)
async def test_after_downtime(missed: str | None, expected: list[str]):
    """After hours without a worker nothing, the last tick, or all of them are made up for, and then it goes on."""
    world = Scheduled(Trigger(cron="@hourly", missed=missed))
    await world.start()
    await world.clock.advance(3 * HOUR_MS + 30 * MINUTE_MS)
    await world.settle()
    assert await world.ticks() == expected
    await world.clock.advance(30 * MINUTE_MS)
    await world.settle()
    assert (await world.ticks())[len(expected) :] == ["2026-01-01T04:00:00Z"]


class Recurring:
    """Schedules that all recur; ``log`` tells what was asked."""

    def __init__(self) -> None:
        self.log: list[tuple[str, list[str]]] = []

    def recurs(self, _schedule: Schedule) -> bool:
        return True

    async def keep(self, schedules: Sequence[Schedule]) -> None:
        self.log.append(("keep", [each.cron for each in schedules]))

    async def drop(self, schedules: Sequence[Schedule]) -> None:
        self.log.append(("drop", [each.cron for each in schedules]))


def with_recurring(world: World, recurring: Recurring) -> Worker:
    """A worker whose ticks are sent by what keeps schedules."""
    backend = world.backend
    invoker = ScriptInvoker(world.scripts)
    ports = Ports(
        backend.journal, backend.waits, backend.registry, backend.queue, invoker, world.clock, flow=backend.flow
    )
    return Worker(replace(ports, schedules=recurring))


async def test_a_recurring_tick_leads_to_no_next():
    """A tick that was sent by what keeps the schedule starts its run, and queues no other tick."""
    world, recurring = Scheduled(), Recurring()
    await world.register()
    tick = QueueItem("t", Tick(SLUG, "* * * * *", world.clock.now_ms(), recurring=True), 0)
    for _ in range(2):
        assert await with_recurring(world, recurring).handle(tick, 1) is None
    assert await world.ticks() == at(0)
    assert (await world.queued(), recurring.log) == ([], [])


async def test_a_recurring_tick_of_a_removed_schedule_drops_it():
    """A tick of no registered schedule that is sent again and again has what sends it dropped."""
    world, recurring = Scheduled(), Recurring()
    await world.register()
    tick = QueueItem("t", Tick(SLUG, "@daily", world.clock.now_ms(), recurring=True), 0)
    assert await with_recurring(world, recurring).handle(tick, 1) is None
    assert recurring.log == [("drop", ["@daily"])]
    assert await world.ticks() == []
