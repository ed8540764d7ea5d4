"""The events of the Journal port on DynamoDB.

``events_since`` has to find an event as soon as ``put_event`` has returned, which no index can promise. So an event is
three writes, of which the last one counts: the hour, a record by name, shard and hour, the event. A reader takes them
in the same order, hours first, and never reads an hour in which there was nothing.

| the sender dies          | the table shows      | a reader finds           | who repeats it                 | test |
| ------------------------ | -------------------- | ------------------------ | ------------------------------ | ---- |
| before the record        | at most an hour      | no record: nothing       | the sender, from the start     | 1    |
|                          | without it           |                          |                                |      |
| before the event         | a record that leads  | no event: passes over    | the sender, from the start     | 1, 2 |
|                          | nowhere              | the record               |                                |      |
| before it hears of it    | all three            | the event                | the sender: it is there, by    | 3    |
|                          |                      |                          | its writer its own, else a     |      |
|                          |                      |                          | double                         |      |
| never, and a reader      | any of these         | the event once it is     | nobody                         | 4    |
| looks between two writes |                      | stored                   |                                |      |

A record names the time of receipt. An event that is sent again at another time has a second record, and the one that
does not bear the event's own time is passed over.

1. ``tests/orchestrator/aws/table/test_events.py::test_a_put_that_broke_off_is_put_again``
2. ``tests/orchestrator/aws/table/test_events.py::test_records_that_lead_nowhere_do_not_end_a_page``
3. ``tests/orchestrator/aws/test_lost_replies.py::test_a_repeated_put_of_an_event_is_the_first``
4. ``tests/orchestrator/aws/table/test_races.py::test_an_event_is_found_as_soon_as_it_is_stored``
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from stepwell_orchestrator.aws.attribute_values import text
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Put, Range, Table, key_of
from stepwell_orchestrator.aws.table.items import Items
from stepwell_orchestrator.aws.table.journal.writers import new_writer, wrote
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.aws.table.table import PK, SK, TTL
from stepwell_orchestrator.fresh_ids import Entropy
from stepwell_orchestrator.model.event import Event

_KNOWN_HOURS_MAX: Final = 10_000
_Record = tuple[int, str]


class Events:
    """Events by id, and by name and time."""

    def __init__(self, table: Table, items: Items, retention: Retention, entropy: Entropy) -> None:
        self._table = table
        self._items = items
        self._retention = retention
        self._entropy = entropy
        self._known_hours: set[tuple[str, int]] = set()

    async def put_event(self, event: Event) -> bool:
        """Store an event. Returns False when its internal id exists already."""
        writer = new_writer(self._entropy)
        item = await self._items.event(event, writer)
        await self._put_record(event)
        try:
            await self._table.do(Put(item, f"attribute_not_exists({PK})"))
        except ConditionFailed as failed:
            return wrote(failed.old, writer)
        return True

    async def get_event(self, internal_id: str) -> Event | None:
        """One event."""
        item = await self._table.get(keys.event_key(internal_id))
        return None if item is None else await self._items.read_event(item)

    async def events_since(self, name: str, since_ms: int, *, after: Event | None, limit: int) -> list[Event]:
        """Events of one name received at or after ``since_ms``, oldest first."""
        start = (since_ms, "") if after is None else (after.received_at_ms, after.internal_id)
        found: list[Event] = []
        async for hour in self._hours(name, keys.hour_of(start[0])):
            while len(found) < limit:
                missing = limit - len(found)
                records = await self._records(name, hour, start, missing)
                found += await self._read(records)
                if len(records) < missing:
                    break
                start = records[-1]
            if len(found) >= limit:
                break
        return found

    async def _put_record(self, event: Event) -> None:
        hour = keys.hour_of(event.received_at_ms)
        kept = {TTL: self._retention.record(event.received_at_ms)}
        if (event.name, hour) not in self._known_hours:
            await self._table.do(Put({**key_of(keys.hours_pk(event.name), keys.hour_sk(hour)), **kept}))
            if len(self._known_hours) >= _KNOWN_HOURS_MAX:
                self._known_hours.clear()
            self._known_hours.add((event.name, hour))
        shard = keys.record_shard(event.internal_id)
        sk = keys.record_sk(event.received_at_ms, event.internal_id)
        await self._table.do(Put({**key_of(keys.records_pk(event.name, hour, shard), sk), **kept}))

    async def _hours(self, name: str, first: int) -> AsyncIterator[int]:
        """The hours from ``first`` on in which events of a name were received, in order."""
        values = {":pk": text(keys.hours_pk(name)), ":sk": text(keys.hour_sk(first))}
        async for item in self._table.items(Range(f"{PK} = :pk AND {SK} >= :sk", values)):
            yield int(item[SK]["S"])

    async def _records(self, name: str, hour: int, start: _Record, limit: int) -> list[_Record]:
        """Receipt times and ids of one hour's first events after a record, in order."""

        async def of_shard(shard: int) -> list[_Record]:
            values = {":pk": text(keys.records_pk(name, hour, shard)), ":sk": text(keys.record_sk(*start))}
            page = await self._table.query(Range(f"{PK} = :pk AND {SK} > :sk", values, limit=limit))
            return [keys.read_record_sk(item[SK]["S"]) for item in page.items]

        shards = await gather_limited(of_shard, range(keys.RECORD_SHARDS))
        return sorted(record for records in shards for record in records)[:limit]

    async def _read(self, records: Sequence[_Record]) -> list[Event]:
        """The events of records. One that was not stored in the end, or at another time, is passed over."""
        items = await self._table.get_many(keys.event_key(internal_id) for _, internal_id in records)
        events = {event.internal_id: event for event in await gather_limited(self._items.read_event, items)}
        known = (events.get(internal_id) for _, internal_id in records)
        return [
            event
            for event, (received_at_ms, _) in zip(known, records, strict=True)
            if event is not None and event.received_at_ms == received_at_ms
        ]
