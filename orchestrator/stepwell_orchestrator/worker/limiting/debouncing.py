"""Debouncing: of the events that come one after the other, the last one starts a run once it is quiet.

The router offers events; the timer, which the first event of a debounce sets, takes the one that is kept. What may come
between:

===================================  =====================================  ==========================================
who dies, or comes between           what the store shows                   who makes up for it
===================================  =====================================  ==========================================
an event is offered twice, or at     the same event, perhaps due later      the store: nothing changes for the event
once                                                                        that is kept; an older one waits anew
  test_debouncing.py::test_an_event_that_is_routed_twice_is_debounced_once
the router dies before the timer     a debounce that nobody will fire       the first event's redelivery: it sets the
                                                                            timer, whatever is kept by then
  test_debouncing.py::test_a_router_that_died_before_the_timer_sets_it_when_it_comes_again
the timer comes, and an event came   a later due time                       the timer: it goes on to that time
since
  test_debouncing.py::test_the_timer_waits_on_when_an_event_came_since
the timer takes the event, and dies  the event, taken                       the timer's redelivery: it is given the
before the run exists                                                       same again
  test_debouncing.py::test_a_timer_that_died_before_the_run_makes_it_when_it_comes_again
... and an event comes before that   the event, taken                       whoever offers that event: it makes the
redelivery                                                                  run first, then it begins a debounce
  test_debouncing.py::test_an_event_after_a_torn_firing_makes_its_run_first
the timer comes twice, at once       one event, taken                       nobody: the run's id follows from the
                                                                            debounce
  test_debouncing.py::test_a_timer_that_comes_twice_makes_one_run
an event that was debounced comes    the debounce, over                     the store: it was one of those events
again after the run
  test_debouncing.py::test_a_redelivery_after_the_run_begins_no_second_debounce
the function is gone                 an event, taken                        nobody: there is nothing to run
  test_debouncing.py::test_the_debounce_of_a_function_that_is_gone_ends
===================================  =====================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stepwell_orchestrator.engine.calls.notices import event_notice
from stepwell_orchestrator.engine.flow.offers import debounce_gate, debounced_run, offer_of
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import Debounce, Debounced, DebounceStage
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.queue_item import FireDebounce
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.worker.tools import Tools

Begin = Callable[[Event, RunHeader, Function], Awaitable[None]]
"""Begins a run now, on a stored event: the first one of a batch."""


@dataclass(frozen=True, slots=True)
class Debouncer:
    """Debounces events."""

    tools: Tools
    begin: Begin

    async def offer(self, event: Event, function: Function, debounce: Debounce) -> None:
        """Offer an event to the debounce of its key."""
        now_ms = self.tools.clock.now_ms()
        gate = debounce_gate(function.slug, debounce, event, now_ms)
        offer, debounces = offer_of(event, debounce, now_ms), self.tools.flow.debounces
        while (kept := await debounces.offer(gate, offer)).stage is DebounceStage.TAKEN:
            await self._begin(gate, kept, function.slug)
        if kept.stage is DebounceStage.OVER:
            return
        if kept.first_event_id == event.internal_id:
            work = FireDebounce(gate, function.slug, event.internal_id)
            await self.tools.dispatch([items.fire_debounce(work, kept.due_at_ms)])
        self.tools.observe(event_notice(event, function.slug, "debounced", kept.due_at_ms, now_ms))

    async def fire(self, work: FireDebounce) -> int | None:
        """Begin the run of a debounce that is due. Returns when to try again: events may have come since."""
        kept = await self.tools.flow.debounces.fire(work.gate, work.first_event_id, self.tools.clock.now_ms())
        if kept is None:
            return None
        if kept.stage is DebounceStage.OPEN:
            return kept.due_at_ms
        await self._begin(work.gate, kept, work.function_id)
        return None

    async def _begin(self, gate: str, taken: Debounced, function_id: str) -> None:
        """Begin the run of the event that was taken, and end the debounce once the run exists."""
        function = await self.tools.registry.get_function(function_id)
        event = await self.tools.journal.get_event(taken.event_id)
        if function is not None and event is not None:
            await self.begin(event, debounced_run(event, function, taken), function)
        await self.tools.flow.debounces.forget(gate, taken.first_event_id)
