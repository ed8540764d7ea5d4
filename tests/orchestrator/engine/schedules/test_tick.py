from __future__ import annotations

from stepwell.wire.times import MINUTE_MS, SECOND_MS
from stepwell_orchestrator.engine.schedules.tick import fires_at_ms, tick_event, tick_item
from stepwell_orchestrator.model.queue_item import Tick
from stepwell_orchestrator.model.schedule import Schedule

NOON_MS = 1_767_268_800_000
PLAIN = Schedule("shop-report", "TZ=Europe/Berlin * * * * *")
LATE = Schedule("shop-report", "* * * * *", 10 * SECOND_MS)


def test_a_tick_is_the_event_that_official_servers_send():
    """Name, id, time and data of a tick's event are those of the protocol."""
    event = tick_event(PLAIN, NOON_MS, NOON_MS + 7)
    assert event.wire() == {
        "name": "inngest/scheduled.timer",
        "id": "2026-01-01T12:00:00Z",
        "ts": NOON_MS,
        "data": {
            "cron": "TZ=Europe/Berlin * * * * *",
            "scheduledAt": "2026-01-01T12:00:00Z",
            "fireAt": "2026-01-01T12:00:00Z",
        },
        "user": {},
    }
    assert event.received_at_ms == NOON_MS + 7


def test_a_tick_is_one_event_whenever_it_is_made():
    """The event's internal id depends on function, cron and tick alone, and no two ticks share it."""
    assert tick_event(PLAIN, NOON_MS, 1).internal_id == tick_event(PLAIN, NOON_MS, 2).internal_id
    other = Schedule("shop-mail", PLAIN.cron)
    events = [tick_event(each, at_ms, 0) for each in (PLAIN, LATE, other) for at_ms in (NOON_MS, NOON_MS + MINUTE_MS)]
    assert len({event.internal_id for event in events}) == 6


def test_jitter_is_the_same_for_a_tick_and_different_for_others():
    """A tick is late by whole seconds below its jitter: always by the same, other ticks and functions by others."""
    delays = [fires_at_ms(LATE, NOON_MS + n * MINUTE_MS) - NOON_MS - n * MINUTE_MS for n in range(500)]
    assert {*delays} == {second * SECOND_MS for second in range(10)}
    assert delays == [fires_at_ms(LATE, NOON_MS + n * MINUTE_MS) - NOON_MS - n * MINUTE_MS for n in range(500)]
    other = Schedule("shop-mail", LATE.cron, LATE.jitter_ms)
    assert delays != [fires_at_ms(other, NOON_MS + n * MINUTE_MS) - NOON_MS - n * MINUTE_MS for n in range(500)]
    event = tick_event(LATE, NOON_MS, NOON_MS + MINUTE_MS)
    assert event.ts_ms == fires_at_ms(LATE, NOON_MS)
    assert event.data["fireAt"] == f"2026-01-01T12:00:{delays[0] // SECOND_MS:02}Z"


def test_the_item_of_a_tick_is_due_when_it_fires():
    """A tick's item has one id, and is due at its time and jitter."""
    item = tick_item(LATE, NOON_MS)
    assert item.work == Tick("shop-report", "* * * * *", NOON_MS)
    assert item.due_at_ms == fires_at_ms(LATE, NOON_MS)
    assert item.id == tick_item(LATE, NOON_MS).id != tick_item(PLAIN, NOON_MS).id
