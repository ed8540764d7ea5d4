"""Why an event has started no run yet: the debounces and batches that it waits in, and until when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from stepwell.wire.times import format_instant
from stepwell_orchestrator.engine.flow.keys import evaluate_key
from stepwell_orchestrator.engine.flow.offers import batch_gate, debounce_gate, runs_alone
from stepwell_orchestrator.engine.flow.options import flow_options
from stepwell_orchestrator.engine.runs.route import invoked, patterns, route
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import Batch, Debounce, DebounceStage
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.ports import Clock, Registry


@dataclass(frozen=True, slots=True)
class EventWait:
    """What an event waits for at one function, at the latest until ``until_ms`` as things are.

    Of a batch, ``events`` are in it, of ``most``. Of a debounce, ``superseded_by`` is the event that will run instead.
    """

    function_id: str
    option: Literal["debounce", "batch"]
    key: str
    until_ms: int
    events: int | None = None
    most: int | None = None
    superseded_by: str | None = None

    @property
    def text(self) -> str:
        """The same in words."""
        keyed = f" of key {self.key}" if self.key else ""
        until = f"until {format_instant(self.until_ms)}"
        if self.option == "batch":
            held = f"{self.events} of {self.most} events"
            return f"waits in a batch of {self.function_id}{keyed}: {held}, {until} at the latest"
        instead = "" if self.superseded_by is None else f"; event {self.superseded_by} runs instead"
        return f"waits in a debounce of {self.function_id}{keyed}, {until} unless more events come{instead}"


@dataclass(frozen=True, slots=True)
class WaitsOfEvents:
    """Finds out what events wait for."""

    flow: FlowPorts
    registry: Registry
    clock: Clock

    async def of(self, event: Event) -> list[EventWait]:
        """What an event waits for, in the order of its functions. It may have gone on by the time it is told."""
        waits = [await self._at(event, function) async for function in self._functions(event)]
        return [wait for wait in waits if wait is not None]

    async def _functions(self, event: Event) -> AsyncIterator[Function]:
        invocation = invoked(event)
        if invocation is not None:
            function = await self.registry.get_function(invocation[0])
            if function is not None:
                yield function
            return
        functions = await self.registry.functions_on(patterns(event.name))
        started = {header.function_id for header in route(event, functions, self.clock.now_ms())}
        for function in functions:
            if function.slug in started:
                yield function

    async def _at(self, event: Event, function: Function) -> EventWait | None:
        options, now_ms = flow_options(function), self.clock.now_ms()
        if options.batch is not None and not runs_alone(options.batch, event, now_ms):
            return await self._in_batch(event, function, options.batch, now_ms)
        if options.debounce is not None:
            return await self._in_debounce(event, function, options.debounce, now_ms)
        return None

    async def _in_batch(self, event: Event, function: Function, batch: Batch, now_ms: int) -> EventWait | None:
        found = await self.flow.batches.look(batch_gate(function.slug, batch, event, now_ms), event.internal_id)
        if found is None or found.closed:
            return None
        until_ms, key = found.first_at_ms + batch.timeout_ms, evaluate_key(batch.key, event, now_ms).text
        return EventWait(function.slug, "batch", key, until_ms, events=found.size, most=batch.max_size)

    async def _in_debounce(self, event: Event, function: Function, debounce: Debounce, now_ms: int) -> EventWait | None:
        kept = await self.flow.debounces.look(debounce_gate(function.slug, debounce, event, now_ms))
        if kept is None or kept.stage is not DebounceStage.OPEN:
            return None
        # One that came before the debounce began was of an earlier one.
        is_of_it = event.received_at_ms >= kept.first_at_ms
        if event.internal_id not in (kept.event_id, kept.first_event_id) and not is_of_it:
            return None
        instead = None if kept.event_id == event.internal_id else kept.event_id
        key = evaluate_key(debounce.key, event, now_ms).text
        return EventWait(function.slug, "debounce", key, kept.due_at_ms, superseded_by=instead)
