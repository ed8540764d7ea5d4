from __future__ import annotations

import asyncio

from stepwell.wire.times import DAY_MS
from stepwell_orchestrator.flow_ports import Debounces
from stepwell_orchestrator.model.flow import Debounce, Debounced, DebounceStage, Offer
from tests.conformance.samples import NOW_MS

GATE = "0123456789abcdef"
TEN_S = Debounce(10_000)
WITHIN_25_S = Debounce(10_000, timeout_ms=25_000)


def an_offer(event: str, at_ms: int, *, ts_ms: int | None = None, debounce: Debounce = TEN_S) -> Offer:
    """An event that is offered when it is received, ``at_ms`` after the beginning; its own time is the same."""
    ts = at_ms if ts_ms is None else ts_ms
    return Offer(event, NOW_MS + ts, NOW_MS + at_ms, NOW_MS + at_ms, debounce)


async def offered(debounces: Debounces, event: str, at_ms: int, **members: object) -> Debounced:
    """Offer an event."""
    return await debounces.offer(GATE, an_offer(event, at_ms, **members))  # type: ignore[arg-type]


async def test_the_first_event_begins_a_debounce(debounces: Debounces):
    """It keeps the event for a period, and is named by it."""
    kept = await offered(debounces, "a", 0)
    assert (kept.first_event_id, kept.event_id, kept.due_at_ms) == ("a", "a", NOW_MS + 10_000)
    assert kept.stage is DebounceStage.OPEN
    assert await debounces.look(GATE) == kept


async def test_a_later_event_takes_the_place_and_waits_for_a_period(debounces: Debounces):
    """The last event is kept, and the period begins again with it."""
    await offered(debounces, "a", 0)
    kept = await offered(debounces, "b", 4_000)
    assert (kept.first_event_id, kept.event_id, kept.due_at_ms) == ("a", "b", NOW_MS + 14_000)


async def test_an_event_that_is_older_by_its_own_time_only_restarts_the_period(debounces: Debounces):
    """Which event is the last one is said by the events' own times."""
    await offered(debounces, "a", 0)
    kept = await offered(debounces, "b", 4_000, ts_ms=-1)
    assert (kept.event_id, kept.due_at_ms) == ("a", NOW_MS + 14_000)


async def test_of_two_events_of_one_time_the_one_received_later_is_kept(debounces: Debounces):
    """In whichever order they are offered."""
    later = Offer("b", NOW_MS, NOW_MS + 2, NOW_MS + 2, TEN_S)
    await debounces.offer(GATE, later)
    kept = await debounces.offer(GATE, Offer("a", NOW_MS, NOW_MS + 1, NOW_MS + 3, TEN_S))
    assert kept.event_id == "b"


async def test_the_timeout_counts_from_the_first_event(debounces: Debounces):
    """However many events come, it is due then."""
    dues = [(await offered(debounces, f"e{n}", n * 9_000, debounce=WITHIN_25_S)).due_at_ms for n in range(4)]
    assert [due - NOW_MS for due in dues] == [10_000, 19_000, 25_000, 25_000]


async def test_the_event_that_is_kept_changes_nothing_when_it_is_offered_again(debounces: Debounces):
    """A redelivery does not make it wait for longer."""
    kept = await offered(debounces, "a", 0)
    again = Offer("a", NOW_MS, NOW_MS, NOW_MS + 5_000, TEN_S)
    assert await debounces.offer(GATE, again) == kept


async def test_it_fires_when_it_is_due_and_not_before(debounces: Debounces):
    """The event is taken once its time has come, and taken again it is the same."""
    await offered(debounces, "a", 0)
    early = await debounces.fire(GATE, "a", NOW_MS + 9_999)
    assert early is not None
    assert early.stage is DebounceStage.OPEN
    taken = await debounces.fire(GATE, "a", NOW_MS + 10_000)
    assert taken is not None
    assert (taken.event_id, taken.stage) == ("a", DebounceStage.TAKEN)
    assert await debounces.fire(GATE, "a", NOW_MS + 10_000) == taken


async def test_a_timer_of_another_debounce_takes_nothing(debounces: Debounces):
    """A debounce is fired by the timer that its first event set."""
    assert await debounces.fire(GATE, "a", NOW_MS) is None
    await offered(debounces, "a", 0)
    assert await debounces.fire(GATE, "b", NOW_MS + 10_000) is None


async def test_what_is_taken_stays_until_its_run_exists(debounces: Debounces):
    """An event that is offered meanwhile is told what is taken; after that it begins a debounce."""
    await offered(debounces, "a", 0)
    taken = await debounces.fire(GATE, "a", NOW_MS + 10_000)
    assert await offered(debounces, "b", 11_000) == taken
    await debounces.forget(GATE, "a")
    assert await debounces.fire(GATE, "a", NOW_MS + 11_000) is None
    begun = await offered(debounces, "b", 11_000)
    assert (begun.first_event_id, begun.stage, begun.due_at_ms) == ("b", DebounceStage.OPEN, NOW_MS + 21_000)


async def test_only_what_is_taken_is_forgotten(debounces: Debounces):
    """An open debounce stays, and so does another one's."""
    kept = await offered(debounces, "a", 0)
    await debounces.forget(GATE, "a")
    await debounces.forget(GATE, "b")
    assert await debounces.look(GATE) == kept


async def test_the_events_of_one_that_is_over_begin_none(debounces: Debounces):
    """A redelivery of the event that ran, or of one before it, is told that it is over; a later event begins one."""
    await offered(debounces, "a", 0)
    await offered(debounces, "b", 5)
    await debounces.fire(GATE, "a", NOW_MS + 20_000)
    await debounces.forget(GATE, "a")
    for event, received in (("a", 0), ("b", 5)):
        again = Offer(event, NOW_MS + received, NOW_MS + received, NOW_MS + 30_000, TEN_S)
        assert (await debounces.offer(GATE, again)).stage is DebounceStage.OVER
    assert (await offered(debounces, "c", 30_000)).stage is DebounceStage.OPEN


async def test_an_event_of_an_old_time_that_comes_after_the_run_begins_one(debounces: Debounces):
    """What was received after the last event was none of them, whatever its own time says."""
    await offered(debounces, "a", 0)
    await debounces.fire(GATE, "a", NOW_MS + 10_000)
    await debounces.forget(GATE, "a")
    assert (await offered(debounces, "b", 20_000, ts_ms=-DAY_MS)).stage is DebounceStage.OPEN


async def test_of_many_at_once_the_last_one_is_kept(debounces: Debounces):
    """Ten that are offered at once leave the latest of them, due a period after it."""
    await asyncio.gather(*(offered(debounces, f"e{n}", n) for n in (3, 9, 1, 7, 0, 5, 8, 2, 6, 4)))
    kept = await debounces.look(GATE)
    assert kept is not None
    assert (kept.event_id, kept.due_at_ms) == ("e9", NOW_MS + 10_009)


async def test_two_timers_at_once_take_one_event(debounces: Debounces):
    """Both are told the same."""
    await offered(debounces, "a", 0)
    first, second = await asyncio.gather(*(debounces.fire(GATE, "a", NOW_MS + 10_000) for _ in range(2)))
    assert first == second
    assert first is not None


async def test_a_timer_and_an_offer_at_once_lose_no_event(debounces: Debounces):
    """Either the new event is kept and not due yet, or the old one is taken and the new one is told so."""
    await offered(debounces, "a", 0)
    fired, told = await asyncio.gather(debounces.fire(GATE, "a", NOW_MS + 10_000), offered(debounces, "b", 10_000))
    assert fired is not None
    assert fired == told


async def test_gates_know_nothing_of_each_other(debounces: Debounces):
    """Each value of a key has a debounce of its own."""
    await offered(debounces, "a", 0)
    assert (await debounces.offer("fedcba9876543210", an_offer("b", 1))).first_event_id == "b"
