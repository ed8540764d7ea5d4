"""Keeping runs that wait for long: the items of a run that has not ended are given more time before theirs is up.

DynamoDB removes by itself what belongs to a run some time after it was written (``retention.py``). That costs nothing,
and a write for each item at the end of each run would double what a step costs. So it is the few long runs that cost
something: once a day every run is looked at, by the index, and one whose items would be forgotten within the next
months is renewed, beyond the last time it waits for.

The header says until when everything of its run is kept. It is told last, on the condition that nobody has driven the
run meanwhile: what a driver writes is kept for the usual time only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Final

from stepwell.wire.times import DAY_MS
from stepwell_orchestrator.aws.attribute_values import Item, Key, integer, number, text
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.payloads.blobs import Blobs
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Put, Range, Table, Update, key_of
from stepwell_orchestrator.aws.table.items import DOCUMENT, EVENTS, KEPT, TERM, Items
from stepwell_orchestrator.aws.table.journal.listing import newest
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.aws.table.table import CREATED, LEASE_UNTIL, PK, SK, TTL

_PASS: Final = key_of("c", "renewal")
_NEXT: Final = "n"
"""When the next pass begins."""
_CURSOR: Final = "p"
"""How far the present one got."""
_PASS_MS: Final = DAY_MS
_ITEMS_MAX: Final = 5_000
"""How many items one call renews, give or take a run."""


class RetentionRenewal:
    """The daily look at runs that have not ended."""

    def __init__(self, table: Table, items: Items, retention: Retention, blobs: Blobs) -> None:
        self._table = table
        self._items = items
        self._retention = retention
        self._blobs = blobs

    async def prune(self, now_ms: int, limit: int) -> int:
        """Look at up to ``limit`` runs, and renew those that wait long.

        Returns 0, the number of items removed: DynamoDB removes them by itself.
        """
        state = await self._table.get(_PASS) or {}
        if now_ms < (integer(state, _NEXT) or 0):
            return 0
        looked = renewed = 0
        cursor = state[_CURSOR]["S"] if _CURSOR in state else None
        async with aclosing(newest(self._table, keys.listing_shards(keys.RUNS), cursor)) as entries:
            async for entry in entries:
                cursor = entry[PK]["S"]
                if self._retention.is_old(int(entry[CREATED]["N"]), now_ms):
                    renewed += await self._renew(keys.id_of(cursor), now_ms)
                looked += 1
                if looked >= limit or renewed >= _ITEMS_MAX:
                    await self._table.do(Put({**_PASS, _CURSOR: text(cursor)}))
                    return 0
        await self._table.do(Put({**_PASS, _NEXT: number(now_ms + _PASS_MS)}))
        return 0

    async def _renew(self, run_id: str, now_ms: int) -> int:
        """Give a run's items more time if they need it. Returns how many items that were."""
        retention = self._retention
        header = await self._table.get(keys.header_key(run_id))
        if header is None or DOCUMENT in header or not retention.is_short(int(header[KEPT]["N"]), now_ms):
            return 0
        items = await self._all(header, run_id)
        entries = [item for item in items if item[SK]["S"].startswith(keys.ENTRY_PREFIX)]
        waiting = (await self._items.read_entries(entries)).values()
        kept_until_ms = retention.renewed_until_ms(now_ms, [entry.due_at_ms for entry in waiting if entry.pending])
        await gather_limited(lambda item: self._prolong(item, kept_until_ms), items)
        same = f"{TERM} = :term AND attribute_not_exists({LEASE_UNTIL})"
        values = {":kept": number(kept_until_ms), ":term": header[TERM]}
        # When it has been driven meanwhile, the next pass comes in time.
        with suppress(ConditionFailed):
            await self._table.do(Update(keys.header_key(run_id), f"SET {KEPT} = :kept", same, values))
        return len(items)

    async def _all(self, header: Item, run_id: str) -> list[Item]:
        """Everything that belongs to a run, but its header."""
        event_ids = [value["S"] for value in header[EVENTS]["L"]]
        values = {":pk": text(keys.run_pk(run_id)), ":header": text(keys.HEADER_SK)}
        own = [item async for item in self._table.items(Range(f"{PK} = :pk AND {SK} > :header", values))]
        beside: Sequence[Key] = [
            key for event_id in event_ids for key in (keys.event_key(event_id), keys.link_key(event_id, run_id))
        ]
        return [*own, *await self._table.get_many(beside)]

    async def _prolong(self, item: Item, kept_until_ms: int) -> None:
        kept = self._retention.until(kept_until_ms)
        if int(item[TTL]["N"]) >= int(kept["N"]):
            return
        if DOCUMENT in item:
            await self._blobs.renew(item[DOCUMENT])
        update = Update({PK: item[PK], SK: item[SK]}, f"SET {TTL} = :kept", f"attribute_exists({PK})", {":kept": kept})
        # When it is gone, writing to it would make another one of it.
        with suppress(ConditionFailed):
            await self._table.do(update)
