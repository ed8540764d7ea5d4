"""Which schedules tick: kept and dropped as apps register."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from stepwell.wire.registration import Trigger
from stepwell_orchestrator.accepting.register import Register
from stepwell_orchestrator.accepting.timetable import Timetable
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.schedule import Schedule, schedules_of
from tests.orchestrator.accepting.test_register import body, function

NAMED, EITHER_DAY = "0 9 * * 1", "0 9 1 * 1"


class SomeRecur:
    """Schedules of which some recur; ``kept`` are those that are kept, and ``before_drop`` is done before a drop."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.fails = False

    def recurs(self, schedule: Schedule) -> bool:
        return schedule.cron != EITHER_DAY

    async def keep(self, schedules: Sequence[Schedule]) -> None:
        if self.fails:
            raise ConnectionError("the scheduler is away")
        self.kept |= {each.cron for each in schedules}

    async def drop(self, schedules: Sequence[Schedule]) -> None:
        self.kept -= {each.cron for each in schedules}


class World:
    """A register on a database in memory."""

    def __init__(self) -> None:
        self.backend = LocalBackend.open(None)
        self.clock = VirtualClock()
        self.schedules = SomeRecur()
        self.timetable = Timetable(self.schedules, self.backend.registry, self.backend.queue, self.clock)
        self.register = Register(self.backend.registry, self.timetable, self.clock, lambda _: None)

    async def accept(self, *crons: str) -> None:
        """Register a function with crons."""
        await self.register.accept(body(function(triggers=[{"cron": cron} for cron in crons])))

    async def chained(self) -> list[str]:
        """The ids of queued ticks."""
        async with self.backend.database.read() as db:
            return [item_id for (item_id,) in db.execute("SELECT id FROM queue ORDER BY id")]


@pytest.fixture
def world():
    made = World()
    yield made
    made.backend.close()


async def test_what_recurs_is_kept_and_of_the_rest_the_first_tick_queued(world: World):
    """Registering keeps what recurs, and queues the first tick of every other schedule, once however often."""
    for _ in range(2):
        await world.accept(NAMED, EITHER_DAY)
    assert world.schedules.kept == {NAMED}
    assert await world.chained() == ["shop-pay:tick:0 9 1 * 1:1767258000000"]


async def test_what_changes_is_changed(world: World):
    """Registering without a cron drops it, with another keeps that, and forgetting the app drops the rest."""
    await world.accept(NAMED, "@daily")
    await world.accept("@daily", "@hourly")
    assert world.schedules.kept == {"@daily", "@hourly"}
    assert await world.register.forget("http://127.0.0.1:3000/api/inngest/")
    assert world.schedules.kept == set()


async def test_a_registration_that_broke_off_is_completed_by_the_next(world: World):
    """When the schedules cannot be kept the registration fails, and the same one again keeps them."""
    world.schedules.fails = True
    with pytest.raises(ConnectionError):
        await world.accept(NAMED)
    world.schedules.fails = False
    await world.accept(NAMED)
    assert world.schedules.kept == {NAMED}


async def test_a_lost_schedule_ticks_again_after_a_look(world: World):
    """A look at all that is registered keeps what was lost, and queues a tick where none is."""
    await world.accept(NAMED, EITHER_DAY)
    world.schedules.kept.clear()
    async with world.backend.database.write() as db:
        db.execute("DELETE FROM queue")
    await world.timetable.keep_all()
    assert world.schedules.kept == {NAMED}
    assert await world.chained() == ["shop-pay:tick:0 9 1 * 1:1767258000000"]


async def test_a_schedule_that_comes_back_while_it_is_dropped_goes_on(world: World):
    """A schedule that another server registers while this one drops it is kept, whichever of the two is the last."""
    await world.accept(NAMED)
    shop = Function("shop-pay", "shop", "Pay", "http://localhost/", (Trigger(cron=NAMED),))
    app = App("shop", "http://localhost", "sdk", "", "other", 0)
    await world.backend.registry.put_app(app, [replace(shop, triggers=())])
    await world.backend.registry.put_app(replace(app, checksum="again"), [shop])
    await world.timetable.drop(schedules_of(shop))
    assert world.schedules.kept == {NAMED}
