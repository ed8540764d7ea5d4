"""Offering an event to everything it may start, resume or cancel.

The router is the worker that has the item of a stored event, or of a rerun. What may come between:

===================================  =====================================  ==========================================
who dies, or comes between           what the journal shows                 who repeats it, and how
===================================  =====================================  ==========================================
a second delivery, or two at once    the run, whose id follows from event   nobody: the same run and the same items
                                     and function
  test_driving.py::test_every_delivery_twice_at_once_changes_nothing
the router dies after it created a   a run that nothing drives              the item's next delivery: it queues the
run                                                                         same start again
  test_crash_everywhere.py::test_a_crash_at_any_port_call_is_survived
a wait begins while it looks for     the event, and a pause that it missed  the driver that filed the pause: it looks
pauses                                                                      for the event after that
  test_waiting.py::test_an_event_between_entry_and_pause_is_not_lost
the run ends before a second         the end                                nobody: a cancellation that is filed again
delivery                                                                    is taken out at once
  test_found_by_simulation.py::test_event_that_is_routed_again_files_nothing_for_an_ended_run
the router dies in the midst of a    some of them; nothing drives the run   the item's next delivery: it puts the
rerun's first entries                                                       others
  test_rerunning.py::test_a_torn_copy_is_completed
two routers make one rerun           the same entries; a commit is refused  the loser looks again, and finds none
                                                                            missing
  test_rerunning.py::test_two_deliveries_at_once_make_one_rerun
===================================  =====================================  ==========================================
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from stepwell_orchestrator.engine.calls.notices import created_notice
from stepwell_orchestrator.engine.flow.keys import run_flow
from stepwell_orchestrator.engine.flow.offers import runs_alone
from stepwell_orchestrator.engine.flow.options import flow_options
from stepwell_orchestrator.engine.journal.copying import copied_entries
from stepwell_orchestrator.engine.runs.children import falls_with_caller
from stepwell_orchestrator.engine.runs.route import invoked, new_run, patterns, route, run_again, starts_at_ms
from stepwell_orchestrator.engine.runs.starting import cancellations, deadlines, idempotency_keys
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.engine.waits.matching import accepts, index_in, is_eligible
from stepwell_orchestrator.errors import ConflictError
from stepwell_orchestrator.limits import IDEMPOTENCY_MS, PAUSE_PAGE
from stepwell_orchestrator.model.decision import PutEntry, Watch
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.pause import Pause
from stepwell_orchestrator.model.queue_item import Rerun, WaitRefused
from stepwell_orchestrator.model.run import Invoker, RunHeader
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.worker.cancelling import Canceller
from stepwell_orchestrator.worker.dispatch import consequence
from stepwell_orchestrator.worker.limiting.batching import Batcher
from stepwell_orchestrator.worker.limiting.debouncing import Debouncer
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Router:
    """Routes events. Routing an event again does nothing again and finishes what a crash left."""

    tools: Tools
    canceller: Canceller

    async def route(self, event_id: str) -> None:
        """Start, resume and cancel what one stored event starts, resumes and cancels."""
        event = await self.tools.journal.get_event(event_id)
        if event is None:
            return
        invocation = invoked(event)
        if invocation is None:
            await self._trigger(event)
        else:
            await self._invoke(event, *invocation)
        await self._offer(event)

    async def _trigger(self, event: Event) -> None:
        functions = {
            function.slug: function for function in await self.tools.registry.functions_on(patterns(event.name))
        }
        for header in route(event, functions.values(), self.tools.clock.now_ms()):
            await self.start(event, header, functions[header.function_id])

    async def _invoke(self, event: Event, function_id: str, invoker: Invoker | None) -> None:
        """Start the invoked function, bypassing its triggers; its absence is the invoking step's failure."""
        function = await self.tools.registry.get_function(function_id)
        if function is not None:
            await self.start(event, new_run(event, function, invoker), function)
        elif invoker is not None:
            until_ms = event.data["_inngest"].get("expire")
            refused = WaitRefused(f"could not find function with ID: {function_id}", until_ms)
            await self.tools.dispatch([items.settle(*invoker, refused, self.tools.clock.now_ms())])

    async def rerun(self, work: Rerun) -> None:
        """Create and start a rerun, unless the original or its function is gone; a repeat finishes what is undone."""
        rerun = await self.tools.journal.get_header(work.run_id)
        if rerun is not None and rerun.started_at_ms is not None:
            return
        original = await self.tools.journal.load(work.original_run_id)
        function = None if original is None else await self.tools.registry.get_function(original.header.function_id)
        if original is None or function is None or not original.events:
            return
        start, now_ms = work.from_step, work.requested_at_ms
        header = run_again(original.header, work.run_id, now_ms, from_step=start is not None)
        entries = [] if start is None else copied_entries(original, start, now_ms)
        await self._create(original.events[0], header, function, (), now_ms, entries=entries)

    async def start(self, event: Event, header: RunHeader, function: Function) -> None:
        """Start the run that a stored event starts of a function, or offer the event to its debounce or batch."""
        options, now_ms = flow_options(function), self.tools.clock.now_ms()
        if options.batch is not None and not runs_alone(options.batch, event, now_ms):
            await self.batcher.add(event, function, options.batch)
        elif options.debounce is not None:
            await self.debouncer.offer(event, function, options.debounce)
        else:
            await self.begin(event, header, function)

    async def begin(self, event: Event, header: RunHeader, function: Function) -> None:
        """Begin a run now, unless one of its keys is taken."""
        keys = idempotency_keys(event, function, self.tools.clock.now_ms())
        await self._create(event, header, function, keys, starts_at_ms(event, header.created_at_ms))

    async def _begin_batch(self, first: Event, header: RunHeader, function: Function) -> None:
        """Begin the run of a batch, whose events have their keys already."""
        await self._create(first, header, function, (), starts_at_ms(first, header.created_at_ms))

    @property
    def debouncer(self) -> Debouncer:
        """What debounces events."""
        return Debouncer(self.tools, self.begin)

    @property
    def batcher(self) -> Batcher:
        """What gathers events."""
        return Batcher(self.tools, self._begin_batch)

    async def _create(
        self,
        event: Event,
        header: RunHeader,
        function: Function,
        keys: Sequence[str],
        start_ms: int,
        *,
        entries: Sequence[StepEntry] = (),
    ) -> None:
        """Create a run, file its cancellations, and queue its deadlines and its start; or cancel it with its caller.

        A repeat does the same again, with the same times in it. ``entries`` are in its journal before it can be driven.
        """
        pauses = cancellations(header, function, event, start_ms)
        now_ms = self.tools.clock.now_ms()
        flow = run_flow(flow_options(function), event, start_ms, now_ms)
        header = replace(header, cancellations=tuple(pause.key for pause in pauses), flow=flow)
        expires_at_ms = header.created_at_ms + IDEMPOTENCY_MS
        holder = await self.tools.journal.create_run(header, idempotency_keys=keys, expires_at_ms=expires_at_ms)
        if holder != header.run_id:
            return
        if entries:
            await self._begin_with(header.run_id, entries)
        self.tools.observe(created_notice(header, now_ms))
        is_for_one = header.invoked_by is not None and len(header.event_ids) == 1
        if header.invoked_by is not None and is_for_one and await self._falls_with(header.invoked_by):
            await self.canceller.cancel(header.run_id)
            return
        await self.tools.dispatch(
            [
                *(Watch(pause) for pause in pauses),
                *deadlines(header.run_id, function, start_ms),
                items.start(header, start_ms),
            ]
        )

    async def _falls_with(self, invoker: Invoker) -> bool:
        """Whether the caller of a run that exists by now was cancelled before, and is to take it along."""
        caller = await self.tools.journal.get_header(invoker.run_id)
        if caller is None or caller.outcome is None:
            return False
        entry = await self.tools.journal.get_entry(*invoker)
        return entry is not None and falls_with_caller(entry, caller.outcome)

    async def _begin_with(self, run_id: str, entries: Sequence[StepEntry]) -> None:
        """Put a new run's first entries. Those that another delivery has put are the same, and stay."""
        while True:
            known = (await self.tools.load(run_id)).entries
            missing = [PutEntry(entry) for entry in entries if entry.step_id not in known]
            if not missing:
                return
            try:
                await self.tools.journal.commit(run_id, missing, term=None)
            except ConflictError:
                continue
            return

    async def _offer(self, event: Event) -> None:
        """Queue the resumption or cancellation of every run with a pause that the event matches."""
        now_ms = self.tools.clock.now_ms()
        async for page in self._candidates(event):
            matched = [pause for pause in page if await self._matches(pause, event, now_ms)]
            if matched:
                await self.tools.queue.send([consequence(pause, event, now_ms) for pause in matched])

    async def _candidates(self, event: Event) -> AsyncIterator[list[Pause]]:
        body = event.wire()
        for shape in await self.tools.waits.shapes(event.name):
            index = index_in(shape, body)
            page: list[Pause] = []
            while index is not None:
                after = page[-1].key if page else None
                page = await self.tools.waits.pauses(event.name, shape, index, after=after, limit=PAUSE_PAGE)
                yield page
                if len(page) < PAUSE_PAGE:
                    break

    async def _matches(self, pause: Pause, event: Event, now_ms: int) -> bool:
        if not is_eligible(pause, event):
            return False
        if pause.expression is None:
            return True
        trigger = await self.tools.journal.get_event(pause.trigger_event_id)
        return trigger is not None and accepts(pause, trigger.wire(), event.wire(), now_ms)
