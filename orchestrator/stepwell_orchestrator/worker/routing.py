"""Offering an event to everything it may start."""

from __future__ import annotations

from dataclasses import dataclass

from stepwell_orchestrator.engine import items
from stepwell_orchestrator.engine.route import idempotency_key, patterns, route, starts_at_ms
from stepwell_orchestrator.limits import IDEMPOTENCY_MS
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Router:
    """Starts the runs of events. Routing an event again starts nothing again and finishes what a crash left."""

    tools: Tools

    async def route(self, event_id: str) -> None:
        """Start every run that one stored event starts."""
        event = await self.tools.journal.get_event(event_id)
        if event is None:
            return
        functions = await self.tools.registry.functions_on(patterns(event.name))
        now_ms = self.tools.clock.now_ms()
        for header in route(event, functions, now_ms):
            await self._start(event, header, now_ms)

    async def _start(self, event: Event, header: RunHeader, now_ms: int) -> None:
        holder = await self.tools.journal.create_run(
            header,
            idempotency_key=idempotency_key(event, header.function_id),
            expires_at_ms=header.created_at_ms + IDEMPOTENCY_MS,
        )
        if holder != header.run_id:
            return
        self.tools.observe(
            Notice(
                at_ms=now_ms,
                kind=NoticeKind.RUN_CREATED,
                run_id=header.run_id,
                function_id=header.function_id,
                subject=event.name,
            )
        )
        await self.tools.dispatch([items.start(header.run_id, starts_at_ms(event, now_ms))])
