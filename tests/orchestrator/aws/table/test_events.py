"""Events by name and time: what is read for them, and what is passed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stepwell.wire.times import DAY_MS, HOUR_MS
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.aws.table.journal.journal import DynamoJournal
from stepwell_orchestrator.aws.table.keys import RECORD_SHARDS
from stepwell_orchestrator.model.event import Event
from tests.conformance.samples import NOW_MS, an_event
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import lost_call


@pytest.fixture
def journal(bed: Bed) -> DynamoJournal:
    return bed.backend().journal


def received(number: int, after_ms: int) -> Event:
    """Event ``number``, received that long after NOW_MS, which is a full hour."""
    return an_event(number, received_at_ms=NOW_MS + after_ms)


async def test_events_are_in_order_across_hours_and_shards(journal: DynamoJournal):
    """Pages join in order of receipt whatever hour and shard an event's record lies in."""
    times = [0, 1, HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, 2 * HOUR_MS, 50 * HOUR_MS, 50 * HOUR_MS + 3]
    ordered = [received(30 - n, after_ms) for n, after_ms in enumerate(times)]
    for event in reversed(ordered):
        await journal.put_event(event)
    for limit in (1, 2, 3, 20):
        pages = [await journal.events_since("order/created", NOW_MS, after=None, limit=limit)]
        while len(pages[-1]) == limit:
            pages.append(await journal.events_since("order/created", NOW_MS, after=pages[-1][-1], limit=limit))
        assert [event for page in pages for event in page] == ordered


async def test_hours_without_events_are_not_read(bed: Bed, journal: DynamoJournal):
    """A look back over a year reads the hours in which there were events, and no other."""
    for number, day in ((1, 0), (2, 200), (3, 365)):
        await journal.put_event(received(number, day * DAY_MS))
    bed.dynamodb.calls.clear()
    found = await journal.events_since("order/created", 0, after=None, limit=99)
    assert [event.internal_id for event in found] == [an_event(number).internal_id for number in (1, 2, 3)]
    assert bed.dynamodb.count("query") == 1 + 3 * RECORD_SHARDS
    bed.dynamodb.calls.clear()
    await journal.events_since("order/created", NOW_MS + 300 * DAY_MS, after=None, limit=99)
    assert bed.dynamodb.count("query") == 1 + RECORD_SHARDS
    bed.dynamodb.calls.clear()
    assert await journal.events_since("another/name", 0, after=None, limit=99) == []
    assert bed.dynamodb.count("query") == 1


async def test_a_full_page_is_the_end_of_reading(bed: Bed, journal: DynamoJournal):
    """Hours beyond the last event of a page are left alone."""
    for number in range(5):
        await journal.put_event(received(number, number * HOUR_MS))
    bed.dynamodb.calls.clear()
    assert len(await journal.events_since("order/created", NOW_MS, after=None, limit=2)) == 2
    assert bed.dynamodb.count("query") == 1 + 2 * RECORD_SHARDS


async def test_every_read_is_consistent(bed: Bed, journal: DynamoJournal):
    """What a waiting run relies on is never read from an index, nor from a replica that lags."""
    await journal.put_event(an_event())
    await journal.events_since("order/created", NOW_MS, after=None, limit=2)
    reads = [parameters for name, parameters in bed.dynamodb.calls if name in ("query", "batch_get_item")]
    assert all(call.get("ConsistentRead") or call["RequestItems"][bed.names.table]["ConsistentRead"] for call in reads)
    assert not any("IndexName" in call for call in reads)


@pytest.mark.parametrize("calls_before", [0, 1, 2])
async def test_a_put_that_broke_off_is_put_again(bed: Bed, journal: DynamoJournal, calls_before: int):
    """Wherever a put breaks off, the repeat at a later time stores the event once, and it is found once."""
    bed.dynamodb.plan("put_item", *[as_it_is] * calls_before, lost_call)
    with pytest.raises(AwsError):
        await journal.put_event(received(1, 10))
    assert await journal.put_event(received(1, HOUR_MS)) is True
    assert await journal.put_event(received(1, 2 * HOUR_MS)) is False
    assert await journal.events_since("order/created", NOW_MS, after=None, limit=9) == [received(1, HOUR_MS)]


async def test_records_that_lead_nowhere_do_not_end_a_page(journal: DynamoJournal):
    """A page is filled from beyond records whose events were received at another time."""
    for number in range(1, 4):
        await journal.put_event(received(number, HOUR_MS + number))
        for after_ms in (1, 2, 3):
            await journal.put_event(received(number, after_ms))
    for limit in (1, 2, 3):
        found = await journal.events_since("order/created", NOW_MS, after=None, limit=limit)
        assert found == [received(number, HOUR_MS + number) for number in range(1, limit + 1)]


async def test_an_hour_is_written_once_a_process(bed: Bed, journal: DynamoJournal):
    """Of the events of one hour the first costs a put more than the others, in each process."""
    for number, puts in ((1, 3), (2, 2), (3, 2)):
        bed.dynamodb.calls.clear()
        await journal.put_event(received(number, number))
        assert bed.dynamodb.count("put_item") == puts
    bed.dynamodb.calls.clear()
    await bed.backend().journal.put_event(received(4, 4))
    assert bed.dynamodb.count("put_item") == 3


async def test_long_names_and_odd_names_are_names(bed: Bed, journal: DynamoJournal):
    """A name of any characters, as long as one may be, is its own partition and no other's, and fits into a key."""
    hour = f"{NOW_MS // HOUR_MS:09}"
    names = ["\U0001f600" * 255, "\U0001f600" * 254 + "x", "a#b", "a", f"0#{hour}#a", f"1#{hour}#a", "r#", hour]
    for number, name in enumerate(names):
        await journal.put_event(an_event(number, name))
    for number, name in enumerate(names):
        assert await journal.events_since(name, 0, after=None, limit=9) == [an_event(number, name)]
    keys = [item["pk"]["S"] for item in bed.dynamodb.scan(TableName=bed.names.table)["Items"]]
    assert max(len(key.encode()) for key in keys) <= 1024


def as_it_is(do: Callable[[], dict[str, Any]], _: str) -> dict[str, Any]:
    """No fault."""
    return do()
