from __future__ import annotations

import asyncio

from stepwell_orchestrator.flow_ports import Batches
from stepwell_orchestrator.model.flow import BatchBounds, BatchEvent, ClosedBatch, OpenBatch
from stepwell_orchestrator.ports import Journal
from tests.conformance.samples import NOW_MS, a_header

GATE = "0123456789abcdef"
THREE = BatchBounds(3, 1_000)


async def added(
    batches: Batches, event: str, at_ms: int = 0, *, size_bytes: int = 10, bounds: BatchBounds = THREE
) -> OpenBatch:
    """Add an event."""
    return await batches.append(GATE, BatchEvent(event, size_bytes), bounds, NOW_MS + at_ms)


async def test_the_first_event_opens_a_batch(batches: Batches):
    """The batch is named by it, and begins with it."""
    assert await added(batches, "a", 5) == OpenBatch("a", 1, NOW_MS + 5)


async def test_the_event_that_fills_a_batch_closes_it(batches: Batches):
    """The next event opens another one."""
    found = [await added(batches, name, at_ms) for at_ms, name in enumerate("abcd")]
    assert [(batch.batch_id, batch.size, batch.closed) for batch in found] == [
        ("a", 1, False),
        ("a", 2, False),
        ("a", 3, True),
        ("d", 1, False),
    ]
    assert await batches.close(GATE, "a", NOW_MS + 9) == ClosedBatch("a", ("a", "b", "c"), NOW_MS + 2)


async def test_a_batch_with_too_many_bytes_is_closed(batches: Batches):
    """However few its events are."""
    assert not (await added(batches, "a", size_bytes=999)).closed
    assert (await added(batches, "b", size_bytes=1)).closed
    assert (await added(batches, "c", size_bytes=1_001)).closed


async def test_an_event_that_is_in_a_batch_adds_nothing(batches: Batches):
    """It is told of the batch as it is, open or closed."""
    await added(batches, "a")
    assert await added(batches, "a", 7) == OpenBatch("a", 1, NOW_MS)
    await added(batches, "b")
    await added(batches, "c")
    for name in "abc":
        assert await added(batches, name, 9) == OpenBatch("a", 3, NOW_MS, closed=True)


async def test_a_key_is_one_events(batches: Batches):
    """Who has it has it again; another event has it only after it has expired."""

    async def reserve(event: str, at_ms: int) -> bool:
        now_ms = NOW_MS + at_ms
        return await batches.reserve("order-1", event, now_ms=now_ms, expires_at_ms=now_ms + 1_000)

    assert [await reserve("a", 0), await reserve("a", 5), await reserve("b", 10)] == [True, True, False]
    assert await reserve("b", 1_005)
    assert not await reserve("a", 1_006)


async def test_of_two_at_once_one_has_a_key(batches: Batches):
    """Whoever was first."""
    asked = (batches.reserve("k", event, now_ms=NOW_MS, expires_at_ms=NOW_MS + 1) for event in "ab")
    assert sum(await asyncio.gather(*asked)) == 1


async def test_a_key_of_a_run_is_no_events(batches: Batches, journal: Journal):
    """A run and a batch know each other's keys."""
    await journal.create_run(a_header(), idempotency_keys=("k",), expires_at_ms=NOW_MS + 1_000)
    assert not await batches.reserve("k", "a", now_ms=NOW_MS, expires_at_ms=NOW_MS + 1)
    assert await batches.reserve("l", "a", now_ms=NOW_MS, expires_at_ms=NOW_MS + 1_000)
    holder = await journal.create_run(a_header(2), idempotency_keys=("l",), expires_at_ms=NOW_MS + 1_000)
    assert holder == "a"


async def test_a_closed_batch_is_the_same_again(batches: Batches):
    """Its timer closes it as it is, and whoever comes later is given the same, with the first time."""
    await added(batches, "a")
    await added(batches, "b")
    closed = await batches.close(GATE, "a", NOW_MS + 50)
    assert closed == ClosedBatch("a", ("a", "b"), NOW_MS + 50)
    assert await batches.close(GATE, "a", NOW_MS + 60) == closed
    assert (await added(batches, "c", 70)).batch_id == "c"


async def test_a_forgotten_batch_is_gone(batches: Batches):
    """Nothing is left to close; an event of it is one like any other."""
    await added(batches, "a")
    await batches.close(GATE, "a", NOW_MS)
    await batches.forget(GATE, "a")
    assert await batches.close(GATE, "a", NOW_MS) is None
    assert await batches.look(GATE, "a") is None
    assert await added(batches, "a", 5) == OpenBatch("a", 1, NOW_MS + 5)


async def test_an_open_batch_is_not_forgotten(batches: Batches):
    """Only what is closed is."""
    await added(batches, "a")
    await batches.forget(GATE, "a")
    assert await batches.look(GATE, "a") == OpenBatch("a", 1, NOW_MS)


async def test_a_batch_that_does_not_exist_is_not_closed(batches: Batches):
    """The batch that is open stays open."""
    await added(batches, "a")
    assert await batches.close(GATE, "b", NOW_MS) is None
    assert await batches.look(GATE, "a") == OpenBatch("a", 1, NOW_MS)


async def test_a_lowered_size_closes_what_has_more(batches: Batches):
    """An event that comes after a deploy made batches smaller opens the next one."""
    await added(batches, "a")
    await added(batches, "b")
    assert (await added(batches, "c", bounds=BatchBounds(2, 1_000))).batch_id == "c"
    closed = await batches.close(GATE, "a", NOW_MS)
    assert closed is not None
    assert closed.event_ids == ("a", "b")


async def test_an_event_finds_its_batch(batches: Batches):
    """Whoever looks is told of the batch that the event is in, and of none for another event."""
    await added(batches, "a")
    await added(batches, "b")
    assert await batches.look(GATE, "b") == OpenBatch("a", 2, NOW_MS)
    await batches.close(GATE, "a", NOW_MS)
    assert await batches.look(GATE, "b") == OpenBatch("a", 2, NOW_MS, closed=True)
    assert await batches.look(GATE, "c") is None


async def test_of_many_at_once_every_event_is_in_one_batch(batches: Batches):
    """Ten that are added at once are in three full batches and an open one."""
    names = [f"e{number}" for number in range(10)]
    found = await asyncio.gather(*(added(batches, name) for name in names))
    seen: list[str] = []
    sizes: list[int] = []
    for batch_id in {batch.batch_id for batch in found}:
        closed = await batches.close(GATE, batch_id, NOW_MS)
        assert closed is not None
        sizes.append(len(closed.event_ids))
        seen += closed.event_ids
    assert sorted(seen) == names
    assert sorted(sizes) == [1, 3, 3, 3]


async def test_a_timer_and_an_event_at_once_lose_nothing(batches: Batches):
    """The event is in the batch that is closed, or in the next one."""
    await added(batches, "a")
    closed, batch = await asyncio.gather(batches.close(GATE, "a", NOW_MS), added(batches, "b"))
    assert closed is not None
    assert ("b" in closed.event_ids) == (batch.batch_id == "a")


async def test_two_who_close_at_once_are_told_the_same(batches: Batches):
    """One batch, with one time."""
    await added(batches, "a")
    first, second = await asyncio.gather(*(batches.close(GATE, "a", NOW_MS + n) for n in range(2)))
    assert first == second
    assert first is not None


async def test_gates_know_nothing_of_each_other(batches: Batches):
    """Each value of a key has batches of its own."""
    await added(batches, "a")
    other = await batches.append("fedcba9876543210", BatchEvent("b", 1), THREE, NOW_MS)
    assert other.batch_id == "b"
