"""Batching: events are gathered, and run together once there are enough of them or the first one has waited enough.

The router adds events; the one whose event closes a batch begins its run, and so does the timer, which the first event
sets. What may come between:

===================================  =====================================  ==========================================
who dies, or comes between           what the store shows                   who makes up for it
===================================  =====================================  ==========================================
an event is added twice, or at once  the event, once                        the store: it is told of the same batch
  test_batching.py::test_an_event_that_is_routed_twice_is_in_its_batch_once
the router dies before the timer     an open batch that nobody will close   the first event's redelivery: it sets the
                                                                            timer
  test_batching.py::test_a_router_that_died_before_the_timer_sets_it_when_it_comes_again
an event closes a batch; the router  a closed batch                         the event's redelivery is told that it is
dies before its run                                                         closed; or the timer
  test_batching.py::test_a_router_that_died_before_the_run_makes_it_when_it_comes_again
  test_batching.py::test_the_timer_makes_the_run_of_a_batch_that_was_closed_and_left
the timer and the closing event      one closed batch                       nobody: the run's id follows from the
come at once                                                                batch
  test_batching.py::test_a_timer_and_a_closing_event_at_once_make_one_run
the router dies between the id of    the id, which the event has            the event's redelivery: it has its own id
its event and the batch
  test_batching.py::test_a_router_that_died_with_an_id_adds_its_event_when_it_comes_again
an event comes again after its       no batch, a run that has it            who begins a later run: it leaves out what
batch was forgotten                                                         another run of the function has
  test_batching.py::test_a_redelivery_after_the_run_is_in_no_second_run
the function is gone                 a closed batch                         nobody: there is nothing to run
  test_batching.py::test_the_batch_of_a_function_that_is_gone_ends
===================================  =====================================  ==========================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stepwell_orchestrator.engine.calls.notices import event_notice
from stepwell_orchestrator.engine.flow.offers import batch_event, batch_gate, batch_run, batch_run_id, in_order
from stepwell_orchestrator.engine.runs.starting import idempotency_keys
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.limits import BATCH_BYTES_MAX, IDEMPOTENCY_MS
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import Batch, BatchBounds, ClosedBatch
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.queue_item import CloseBatch
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Batcher:
    """Gathers events. ``begin`` begins a run now, on its first event."""

    tools: Tools
    begin: Callable[[Event, RunHeader, Function], Awaitable[None]]

    async def add(self, event: Event, function: Function, batch: Batch) -> None:
        """Add an event to the open batch of its key, and run the batch if that closes it; a repeat starts nothing."""
        now_ms = self.tools.clock.now_ms()
        if await self._is_repeat(event, function, now_ms):
            return
        gate = batch_gate(function.slug, batch, event, now_ms)
        bounds = BatchBounds(batch.max_size, BATCH_BYTES_MAX)
        found = await self.tools.flow.batches.append(gate, batch_event(event), bounds, now_ms)
        until_ms = found.first_at_ms + batch.timeout_ms
        work = CloseBatch(gate, function.slug, found.batch_id, until_ms)
        if found.closed:
            await self._run(work)
            return
        if found.batch_id == event.internal_id:
            await self.tools.dispatch([items.close_batch(work)])
        waits_for = f"{found.size} of {batch.max_size} in its batch"
        self.tools.observe(event_notice(event, function.slug, waits_for, until_ms, now_ms))

    async def _is_repeat(self, event: Event, function: Function, now_ms: int) -> bool:
        """Whether the sender's own id of an event was there before within a day: in a batch, or as a run."""
        received_at_ms, batches = event.received_at_ms, self.tools.flow.batches
        for key in idempotency_keys(event, function, now_ms):
            until_ms = received_at_ms + IDEMPOTENCY_MS
            if not await batches.reserve(key, event.internal_id, now_ms=received_at_ms, expires_at_ms=until_ms):
                return True
        return False

    async def close(self, work: CloseBatch) -> int | None:
        """Run a batch whose time is up. Returns when to try again: an item may be early by this clock."""
        if self.tools.clock.now_ms() < work.until_ms:
            return work.until_ms
        await self._run(work)
        return None

    async def _run(self, work: CloseBatch) -> None:
        """Close a batch and begin its run, unless it has no events that are in no other; then forget it."""
        closed = await self.tools.flow.batches.close(work.gate, work.batch_id, self.tools.clock.now_ms())
        if closed is None:
            return
        function = await self.tools.registry.get_function(work.function_id)
        events = [] if function is None else await self._events(closed, function)
        if function is not None and events:
            await self.begin(events[0], batch_run(events, function, closed), function)
        await self.tools.flow.batches.forget(work.gate, work.batch_id)

    async def _events(self, closed: ClosedBatch, function: Function) -> list[Event]:
        """The events of a batch, in order, without those that another run of the function has."""
        run_id = batch_run_id(function.slug, closed)

        async def find(event_id: str) -> Event | None:
            runs = await self.tools.journal.runs_of_event(event_id)
            others = (run for run in runs if run.run_id != run_id and run.original_run_id is None)
            has_run = any(run.function_id == function.slug for run in others)
            return None if has_run else await self.tools.journal.get_event(event_id)

        found = await asyncio.gather(*map(find, closed.event_ids))
        return in_order([event for event in found if event is not None])
