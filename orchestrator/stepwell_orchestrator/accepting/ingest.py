"""Accepting events: everything said to be accepted is durable and will be routed (protocol 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from stepwell.errors import EventError, WireError
from stepwell.wire.encoding import decode
from stepwell.wire.ids import EventIdSeed
from stepwell_orchestrator.accepting.event_validation import read_event
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import EVENTS_PER_REQUEST_MAX
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.notice import Notice, NoticeKind, Observe
from stepwell_orchestrator.ports import Clock, Journal, Queue


def parse(body: bytes) -> Any:
    """The JSON in the body of an ingest request. Raises EventError."""
    try:
        return decode(body)
    except WireError as error:
        raise EventError(f"{error}; send one event object or an array of them") from error


class Ingest:
    """The way in for events from outside."""

    def __init__(self, journal: Journal, queue: Queue, clock: Clock, ids: FreshIds, observe: Observe) -> None:
        self._journal = journal
        self._queue = queue
        self._clock = clock
        self._ids = ids
        self._observe = observe

    async def accept(self, body: bytes, seed: EventIdSeed | None) -> list[str]:
        """Accept the body of an ingest request: JSON, one event object or an array of them; empty is no event.

        Returns and raises like :meth:`accept_events`.
        """
        if not body.strip():
            return []
        parsed = parse(body)
        return await self.accept_events(parsed if isinstance(parsed, list) else [parsed], seed)

    async def accept_events(self, events: Sequence[Any], seed: EventIdSeed | None) -> list[str]:
        """Accept JSON values as events, in order, and return their internal ids.

        Each is stored and queued for routing before this returns, whatever its ``ts``. The ids follow from ``seed``
        when there is one, so that a repeat of the same request stores nothing twice. Raises EventError at the first
        bad event: those before it stay accepted, and their ids are in the error (protocol 3.3).
        """
        if len(events) > EVENTS_PER_REQUEST_MAX:
            raise EventError(f"Cannot have more than {EVENTS_PER_REQUEST_MAX} events in a batch")
        accepted: list[Event] = []
        refusal: EventError | None = None
        for ordinal, raw in enumerate(events, start=1):
            internal_id = seed.event_id(ordinal) if seed else self._ids.draw()
            try:
                accepted.append(read_event(raw, internal_id=internal_id, now_ms=self._clock.now_ms()))
            except EventError as error:
                refusal = error
                break
        await self._store(accepted)
        ids = [event.internal_id for event in accepted]
        if refusal is not None:
            raise EventError(str(refusal), ids=tuple(ids)) from refusal
        return ids

    async def _store(self, events: Sequence[Event]) -> None:
        if not events:
            return
        stored = await asyncio.gather(*(self._journal.put_event(event) for event in events))
        # A repeat is queued again too: the call before may have died between the two.
        now_ms = self._clock.now_ms()
        await self._queue.send([items.route(event.internal_id, now_ms).item for event in events])
        for event, is_new in zip(events, stored, strict=True):
            if is_new:
                self._observe(Notice(now_ms, NoticeKind.EVENT_RECEIVED, subject=event.name))
