"""The listings of the Journal port on DynamoDB: newest first by id, whatever the filter.

The index has one entry a run or event, in shards, with what never changes of it; the rest of a filter is answered by
the items themselves. Entries are read on until a page is full, so a listing of which little matches reads much.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, TypeVar

from stepwell_orchestrator.aws.attribute_values import Item, Key, Value, text
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import GET_MAX, Range, Table
from stepwell_orchestrator.aws.table.items import Items, status_of
from stepwell_orchestrator.aws.table.table import APP, CREATED, FUNCTION, LISTED_UNDER, LISTING, NAME, PK, SK
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.ports import EventFilter, RunFilter

_SHARD_PAGE: Final = 50

ModelT = TypeVar("ModelT")
Matches = Callable[[Item], bool]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a listing looks for: by what the index has, then by what only the item has."""

    below_pk: str | None
    by_entry: Matches
    by_item: Matches
    limit: int


class Listing:
    """Runs and events, page by page."""

    def __init__(self, table: Table, items: Items) -> None:
        self._table = table
        self._items = items

    async def list_runs(self, wanted: RunFilter, *, cursor: str | None, limit: int) -> list[RunHeader]:
        """Runs newest first by run id."""

        def by_entry(entry: Item) -> bool:
            return (
                wanted.function_id in (None, entry[FUNCTION]["S"])
                and wanted.app_id in (None, entry[APP]["S"])
                and _within(entry, wanted.from_ms, wanted.until_ms)
            )

        def by_item(item: Item) -> bool:
            return not wanted.statuses or status_of(item) in wanted.statuses

        below_pk = None if cursor is None else keys.run_pk(cursor)
        looking = _Wanted(below_pk, by_entry, by_item, limit)
        return await self._list([keys.RUNS], looking, self._items.read_header)

    async def list_events(self, wanted: EventFilter, *, cursor: str | None, limit: int) -> list[Event]:
        """Events newest first by internal id."""
        from_ms = None if wanted.after_ms is None else wanted.after_ms + 1

        def by_entry(entry: Item) -> bool:
            return wanted.name in (None, entry[NAME]["S"]) and _within(entry, from_ms, wanted.before_ms)

        kinds = [keys.EVENTS, keys.INTERNAL_EVENTS] if wanted.include_internal else [keys.EVENTS]
        if wanted.name is not None:
            kinds = [kind for kind in kinds if kind == keys.event_kind(wanted.name)]
        below_pk = None if cursor is None else keys.event_pk(cursor)
        looking = _Wanted(below_pk, by_entry, lambda _: True, limit)
        return await self._list(kinds, looking, self._items.read_event)

    async def _list(
        self, kinds: Sequence[str], wanted: _Wanted, read: Callable[[Item], Awaitable[ModelT]]
    ) -> list[ModelT]:
        found: list[Item] = []
        batch: list[Key] = []
        shards = [shard for kind in kinds for shard in keys.listing_shards(kind)]
        async with aclosing(newest(self._table, shards, wanted.below_pk)) as entries:
            async for entry in entries:
                if wanted.by_entry(entry):
                    batch.append({PK: entry[PK], SK: entry[SK]})
                if len(batch) >= min(GET_MAX, wanted.limit - len(found)):
                    found += await self._get(batch, wanted.by_item)
                    batch = []
                if len(found) >= wanted.limit:
                    break
            found += await self._get(batch, wanted.by_item)
        return await gather_limited(read, found)

    async def _get(self, batch: Sequence[Key], matches: Matches) -> list[Item]:
        """The items of entries that match, newest first."""
        items = await self._table.get_many(batch)
        return sorted(filter(matches, items), key=lambda item: item[PK]["S"], reverse=True)


@dataclass(slots=True)
class _Shard:
    """One shard of the index, read page by page."""

    table: Table
    entries: Range
    read: deque[Item] = field(default_factory=deque)
    after: Key | None = None
    over: bool = False

    async def fill(self) -> None:
        """Have an entry at hand, unless the shard is over."""
        while not self.read and not self.over:
            page = await self.table.query(self.entries, self.after)
            self.read.extend(page.items)
            self.after, self.over = page.after, page.after is None


async def newest(table: Table, shards: Sequence[str], below_pk: str | None) -> AsyncGenerator[Item, None]:
    """The entries of shards, merged, newest first, from below a key on."""
    reading = [_Shard(table, _entries(shard, below_pk)) for shard in shards]
    await gather_limited(_Shard.fill, reading)
    while any(shard.read for shard in reading):
        shard = max((shard for shard in reading if shard.read), key=lambda shard: shard.read[0][PK]["S"])
        yield shard.read.popleft()
        await shard.fill()


def _entries(shard: str, below_pk: str | None) -> Range:
    condition = f"{LISTED_UNDER} = :shard"
    values: dict[str, Value] = {":shard": text(shard)}
    if below_pk is not None:
        condition += f" AND {PK} < :pk"
        values[":pk"] = text(below_pk)
    return Range(condition, values, index=LISTING, newest_first=True, limit=_SHARD_PAGE)


def _within(entry: Item, from_ms: int | None, until_ms: int | None) -> bool:
    at_ms = int(entry[CREATED]["N"])
    return (from_ms is None or at_ms >= from_ms) and (until_ms is None or at_ms < until_ms)
