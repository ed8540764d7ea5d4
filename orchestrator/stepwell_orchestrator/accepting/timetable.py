"""Which schedules tick: what begins to tick when an app registers, and what ends when it registers without it.

Who registers writes the registry first, then keeps or drops schedules. Who drops one looks into the registry once more
after that. So of two that change one function, the last to write is seen by the other. What may come between:

===================================  =====================================  ==========================================
who dies, or comes between           what is ticking                        who repeats it, and how
===================================  =====================================  ==========================================
the server dies between registry     what ticked before                     the next registration, changed or not;
and schedules                                                               in AWS a sweep within a quarter of an hour
  test_timetable.py::test_a_registration_that_broke_off_is_completed_by_the_next
  test_timetable.py::test_a_lost_schedule_ticks_again_after_a_look
... so a removed one was not dropped a schedule of no function              its next tick, which drops it
  test_ticking.py::test_a_recurring_tick_of_a_removed_schedule_drops_it
a tick of the old registration is    the new schedules, and one tick more   nobody: it finds no such schedule, and
queued                                                                      leads to no next one
  test_ticking.py::test_a_tick_of_a_changed_schedule_starts_nothing_and_leads_to_none
the schedule is registered again     nothing, for a moment                  who dropped it: it finds it registered,
before it is dropped                                                        and keeps it
  test_timetable.py::test_a_schedule_that_comes_back_while_it_is_dropped_goes_on
===================================  =====================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepwell_orchestrator.crons.ticks import next_tick
from stepwell_orchestrator.engine.schedules.tick import tick_item
from stepwell_orchestrator.model.schedule import Schedule, schedules_of
from stepwell_orchestrator.ports import Clock, Queue, Registry
from stepwell_orchestrator.schedules import Schedules


@dataclass(frozen=True, slots=True)
class Timetable:
    """Has registered schedules tick: by what recurs, where that can say when, else from each tick to the next."""

    schedules: Schedules
    registry: Registry
    queue: Queue
    clock: Clock

    async def keep(self, schedules: Sequence[Schedule]) -> None:
        """Have schedules tick from now on. Again is as once."""
        now_ms = self.clock.now_ms()
        recurring = [each for each in schedules if self.schedules.recurs(each)]
        chained = [each for each in schedules if not self.schedules.recurs(each)]
        if recurring:
            await self.schedules.keep(recurring)
        if chained:
            await self.queue.send([tick_item(each, next_tick(each.line, now_ms)) for each in chained])

    async def drop(self, schedules: Sequence[Schedule]) -> None:
        """Have schedules tick no more that are not registered; a tick that is queued finds that by itself."""
        recurring = [each for each in schedules if self.schedules.recurs(each)]
        if not recurring:
            return
        await self.schedules.drop(recurring)
        registered = await self.registered()
        await self.keep([each for each in registered if any(_is_same(each, dropped) for dropped in recurring)])

    async def keep_all(self) -> None:
        """Have every registered schedule tick, whatever became of it: to be done now and then where one may be lost."""
        await self.keep(await self.registered())

    async def registered(self, app_id: str | None = None) -> list[Schedule]:
        """The schedules of an app, or of all."""
        functions = await self.registry.list_functions(app_id)
        return [schedule for function in functions for schedule in schedules_of(function)]


def gone(before: Sequence[Schedule], after: Sequence[Schedule]) -> list[Schedule]:
    """The schedules of ``before`` that are not in ``after``."""
    return [each for each in before if not any(_is_same(each, other) for other in after)]


def _is_same(one: Schedule, other: Schedule) -> bool:
    return (one.function_id, one.cron) == (other.function_id, other.cron)
