"""The events of the Journal port on DynamoDB.

``events_since`` has to find an event as soon as ``put_event`` has returned, which no index can promise. So a record by
name, shard and hour is written before the event, and the hour itself before the first record in it: whoever looks for
events reads the hours in use and then their records, and never an hour in which there was nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from stepwell_orchestrator.aws.attribute_values import text
from stepwell_orchestrator.aws.gather_limited import together
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import Put, Range, Refused, key_of
from stepwell_orchestrator.aws.table.items import Items
from stepwell_orchestrator.aws.table.journal.journal_part import Part, wrote
from stepwell_orchestrator.aws.table.table import PK, SK, TTL
from stepwell_orchestrator.fresh_ids import Entropy
from stepwell_orchestrator.model.event import Event

_KNOWN_HOURS_MAX: Final = 10_000
_Record = tuple[int, str]


class Events(Part):
    """Events by id, and by name and time."""

    def __init__(self, items: Items, entropy: Entropy) -> None:
        super().__init__(items, entropy)
        self._known_hours: set[tuple[str, int]] = set()

    async def put_event(self, event: Event) -> bool:
        """Store an event; False when its internal id exists already."""
        writer = self._writer()
        item = await self._items.event(event, writer)
        await self._put_record(event)
        try:
            await self._table.do(Put(item, f"attribute_not_exists({PK})"))
        except Refused as refused:
            return wrote(refused.old, writer)
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
        kept = {TTL: self._items.keeping.record(event.received_at_ms)}
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

        shards = await together(of_shard, range(keys.RECORD_SHARDS))
        return sorted(record for records in shards for record in records)[:limit]

    async def _read(self, records: Sequence[_Record]) -> list[Event]:
        """The events of records. One that was not stored in the end, or at another time, is passed over."""
        items = await self._table.get_many(keys.event_key(internal_id) for _, internal_id in records)
        events = {event.internal_id: event for event in await together(self._items.read_event, items)}
        known = (events.get(internal_id) for _, internal_id in records)
        return [
            event
            for event, (received_at_ms, _) in zip(known, records, strict=True)
            if event is not None and event.received_at_ms == received_at_ms
        ]
