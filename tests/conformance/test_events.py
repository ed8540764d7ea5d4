from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell.errors import EncodingError
from stepwell_orchestrator.model.event import Event
from tests.conformance.backends import PrunedJournal
from tests.conformance.samples import NOW_MS, a_header, an_event, create, event_id, run_id

EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("bare", {"data": {}}),
    ("own id", {"id": "order-7", "ts_ms": 5}),
    ("user and version", {"user": {"name": "Zoë"}, "v": "2"}),
    ("meta", {"meta": {}}),
    ("nested data", {"data": {"list": [1, 2.5, None, True, {"deep": [[]]}], "text": "é\n\u0000"}}),
    ("large numbers", {"data": {"whole": 2**70, "small": 1e-300, "minus": -1}}),
]


@pytest.mark.parametrize("changes", [changes for _, changes in EVENTS], ids=[name for name, _ in EVENTS])
async def test_an_event_comes_back_as_it_was_put(journal: PrunedJournal, changes: dict[str, Any]):
    """Every member of an event survives storage."""
    event = an_event(**changes)
    assert await journal.put_event(event) is True
    assert await journal.get_event(event.internal_id) == event


@pytest.mark.parametrize("name", ["x" * 255, "𝄞" * 255, "Größe/#~*%_"], ids=["long", "longest", "odd"])
async def test_an_event_of_any_name_is_found_by_it(journal: PrunedJournal, name: str):
    """Names as long as they may be, in characters of four bytes, are names of their own."""
    events = [an_event(1, name), an_event(2, name[:-1])]
    for event in events:
        await journal.put_event(event)
        assert await journal.get_event(event.internal_id) == event
    assert await journal.events_since(name, NOW_MS, after=None, limit=9) == events[:1]


async def test_an_unknown_event_is_none(journal: PrunedJournal):
    """An internal id that was never put has no event."""
    assert await journal.get_event(event_id(1)) is None


async def test_a_repeated_event_changes_nothing(journal: PrunedJournal):
    """The second event of an internal id is refused and the first one stays."""
    await journal.put_event(an_event(data={"first": True}))
    assert await journal.put_event(an_event(data={"first": False})) is False
    stored = await journal.get_event(event_id(1))
    assert stored is not None
    assert stored.data == {"first": True}


async def test_of_competing_puts_one_wins(journal: PrunedJournal):
    """Exactly one of the events put at once under one internal id is stored."""
    answers = await asyncio.gather(*(journal.put_event(an_event(data={"n": n})) for n in range(5)))
    stored = await journal.get_event(event_id(1))
    assert answers.count(True) == 1
    assert stored is not None
    assert stored.data == {"n": answers.index(True)}


async def test_an_event_that_is_not_json_is_refused(journal: PrunedJournal):
    """An event that cannot be stored raises, and is not there."""
    with pytest.raises(EncodingError):
        await journal.put_event(an_event(data={"bad": float("nan")}))
    assert await journal.get_event(event_id(1)) is None


async def test_the_runs_of_an_event_are_the_ones_it_started(journal: PrunedJournal):
    """Runs are found by each of their events, the one created first before the others."""
    second = a_header(2, event_ids=(event_id(1), event_id(2)), created_at_ms=NOW_MS)
    await create(journal, 1)
    await create(journal, 2, event_ids=second.event_ids, created_at_ms=second.created_at_ms)
    await create(journal, 3)
    assert await journal.runs_of_event(event_id(1)) == [second, a_header(1)]
    assert [header.run_id for header in await journal.runs_of_event(event_id(2))] == [run_id(2)]
    assert await journal.runs_of_event(event_id(9)) == []


async def since(
    journal: PrunedJournal, since_ms: int = NOW_MS, *, after: Event | None = None, limit: int = 100
) -> list[Event]:
    """Events named order/paid."""
    return await journal.events_since("order/paid", since_ms, after=after, limit=limit)


def paid(number: int, at_ms: int, **changes: Any) -> Event:
    """Event ``number``, named order/paid, received ``at_ms`` after NOW_MS."""
    return an_event(number, "order/paid", received_at_ms=NOW_MS + at_ms, **changes)


async def test_events_since_are_oldest_first(journal: PrunedJournal):
    """Events of a name come by receipt time, and those of one millisecond by internal id, whole."""
    ordered = [paid(9, 1, data={"deep": [1]}), paid(2, 3, ts_ms=5), paid(4, 3, id="own"), paid(1, 7)]
    for event in (ordered[2], ordered[3], ordered[0], ordered[1]):
        await journal.put_event(event)
    assert await since(journal) == ordered


@pytest.mark.parametrize(("since_ms", "numbers"), [(4, [5, 6]), (5, [5, 6]), (6, [6]), (7, [])])
async def test_events_since_begin_with_their_millisecond(journal: PrunedJournal, since_ms: int, numbers: list[int]):
    """An event received in the very millisecond counts, and one received before does not, whatever its own time."""
    for number in (3, 5, 6):
        await journal.put_event(paid(number, number, ts_ms=NOW_MS + 10 - number))
    found = await since(journal, NOW_MS + since_ms)
    assert [event.internal_id for event in found] == [event_id(number) for number in numbers]


async def test_events_since_are_of_one_name(journal: PrunedJournal):
    """Only the name as it is spelled counts; the engine's own names are names like any other."""
    internal = an_event(4, "inngest/function.finished")
    for event in (paid(1, 1), an_event(2, "ORDER/PAID"), an_event(3, "order/paid.x"), internal):
        await journal.put_event(event)
    assert await since(journal) == [paid(1, 1)]
    assert await journal.events_since("inngest/function.finished", 0, after=None, limit=9) == [internal]
    assert await journal.events_since("order/*", 0, after=None, limit=9) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
async def test_events_since_are_read_page_by_page(journal: PrunedJournal, limit: int):
    """Following the last event of each page gives every event once, in order, also within one millisecond."""
    ordered = [paid(number, 3 if number < 4 else number) for number in range(1, 6)]
    for event in reversed(ordered):
        await journal.put_event(event)
    pages = [await since(journal, limit=limit)]
    while len(pages[-1]) == limit:
        pages.append(await since(journal, after=pages[-1][-1], limit=limit))
    assert [event for page in pages for event in page] == ordered


async def test_an_event_is_among_those_since_as_soon_as_it_is_put(journal: PrunedJournal):
    """A put that returned is seen by the next read; a repeat is not seen twice."""
    for number in range(1, 4):
        await journal.put_event(paid(number, number))
        await journal.put_event(paid(number, number))
        assert len(await since(journal)) == number
