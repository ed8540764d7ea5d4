"""A schedule's tick: its event, the run that this starts, and the next tick.

The ticker is the worker that has a tick's item. It queues the next tick first and stores the event after that: so a
stored event says that the schedule goes on. What may come between:

===================================  =====================================  ==========================================
who dies, or comes between           what the journal shows                 who repeats it, and how
===================================  =====================================  ==========================================
the ticker dies before the event     no event; the next tick is queued,     the item's next delivery, from the start:
                                     perhaps                                the next tick has the same item
  test_ticking.py::test_a_crash_at_any_port_call_is_survived
... after the event                  the event, and no run, perhaps         the item's next delivery: it starts the
                                                                            run of the stored event
  test_ticking.py::test_a_crash_at_any_port_call_is_survived
two tickers have one tick            one event, one run                     nobody: both derive the same ids
  test_ticking.py::test_two_tickers_at_once_start_one_run
a tick was queued twice, and the     the event                              nobody: the second leads to no next one,
first is long done                                                          so that what was doubled is single again
  test_ticking.py::test_a_tick_that_was_queued_twice_leads_to_one_next
the schedule was changed or removed  the function without it                nobody: the tick starts nothing, and
                                                                            leads to none
  test_ticking.py::test_a_tick_of_a_changed_schedule_starts_nothing_and_leads_to_none
the function stands still            nothing                                nobody: the tick is skipped, and leads to
                                                                            the next; one whose event is stored is not
  test_pausing.py::test_ticks_of_a_paused_function_are_skipped
the server was down                  nothing                                what is missed is skipped or made up for
  test_lateness.py::test_what_comes_after_an_outage
===================================  =====================================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass

from stepwell_orchestrator.accepting.timetable import Timetable
from stepwell_orchestrator.engine.runs.route import new_run
from stepwell_orchestrator.engine.schedules.lateness import counts, following
from stepwell_orchestrator.engine.schedules.tick import fires_at_ms, tick_event, tick_item
from stepwell_orchestrator.model.decision import Emit
from stepwell_orchestrator.model.flow import Halted
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.queue_item import Tick
from stepwell_orchestrator.model.schedule import Schedule, schedules_of
from stepwell_orchestrator.worker.routing import Router
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Ticker:
    """Carries out ticks. A tick that is carried out again does nothing again, and finishes what a crash left."""

    tools: Tools
    router: Router
    timetable: Timetable

    async def tick(self, work: Tick) -> int | None:
        """Start the run of a tick, if it counts, and see to the next. Returns when to try again: it may be early."""
        function = await self.tools.registry.get_function(work.function_id)
        schedule = None if function is None else _schedule(function, work.cron)
        if function is None or schedule is None:
            if work.recurring:
                await self.timetable.drop([Schedule(work.function_id, work.cron)])
            return None
        now_ms, fires_ms = self.tools.clock.now_ms(), fires_at_ms(schedule, work.tick_ms)
        if now_ms < fires_ms:
            return fires_ms
        if not counts(schedule, work.tick_ms, now_ms):
            await self._go_on(schedule, work, now_ms)
            return None
        event = tick_event(schedule, work.tick_ms, now_ms)
        stored = await self.tools.journal.get_event(event.internal_id)
        if stored is None:
            await self._go_on(schedule, work, now_ms)
            if (await self.tools.registry.halts()).closing(Halted.STARTS, function.slug, function.app_id):
                return None
        await self.tools.dispatch([Emit(stored or event)])
        # Another ticker may have been first: its event stands.
        stored = await self.tools.journal.get_event(event.internal_id)
        if stored is not None:
            await self.router.start(stored, new_run(stored, function), function)
        return None

    async def _go_on(self, schedule: Schedule, work: Tick, now_ms: int) -> None:
        """Queue the next tick, unless what sent this one sends it too."""
        if not work.recurring and not self.timetable.schedules.recurs(schedule):
            await self.tools.queue.send([tick_item(schedule, following(schedule, work.tick_ms, now_ms))])


def _schedule(function: Function, cron: str) -> Schedule | None:
    return next((each for each in schedules_of(function) if each.cron == cron), None)
