from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.conformance.backends import PrunedJournal
from tests.conformance.samples import NOW_MS, a_header, an_event, create, event_id, run_id

from stepwell.errors import EncodingError

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
