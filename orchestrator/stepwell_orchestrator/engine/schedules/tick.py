"""One tick of a schedule: when it fires, the event that it is, and the queue item that waits for it."""

from __future__ import annotations

import datetime as dt
import hashlib

from stepwell.wire.ids import derived_ulid
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.queue_item import QueueItem, Tick
from stepwell_orchestrator.model.schedule import SCHEDULED_EVENT, Schedule


def fires_at_ms(schedule: Schedule, tick_ms: int) -> int:
    """When a tick fires: at its time, or as many whole seconds later as its jitter has for it, always the same."""
    choices = -(-schedule.jitter_ms // SECOND_MS)
    if choices == 0:
        return tick_ms
    digest = hashlib.blake2b(f"{tick_ms}:{schedule.function_id}:{schedule.cron}".encode(), digest_size=8).digest()
    return tick_ms + int.from_bytes(digest) % choices * SECOND_MS


def tick_event(schedule: Schedule, tick_ms: int, now_ms: int) -> Event:
    """The event of a tick. Its internal id follows from function, cron and tick, so that a tick is one event."""
    fires_ms = fires_at_ms(schedule, tick_ms)
    scheduled_at = _instant(tick_ms)
    return Event(
        internal_id=derived_ulid(tick_ms, "tick", schedule.function_id, schedule.cron),
        name=SCHEDULED_EVENT,
        id=scheduled_at,
        ts_ms=fires_ms,
        received_at_ms=now_ms,
        data={"cron": schedule.cron, "scheduledAt": scheduled_at, "fireAt": _instant(fires_ms)},
    )


def tick_item(schedule: Schedule, tick_ms: int) -> QueueItem:
    """The queue item of a tick, which leads to the next one."""
    work = Tick(schedule.function_id, schedule.cron, tick_ms)
    return QueueItem(f"{schedule.function_id}:tick:{schedule.cron}:{tick_ms}", work, fires_at_ms(schedule, tick_ms))


def _instant(at_ms: int) -> str:
    """A time in whole seconds, as the protocol's schedules spell it."""
    return f"{dt.datetime.fromtimestamp(at_ms // SECOND_MS, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
