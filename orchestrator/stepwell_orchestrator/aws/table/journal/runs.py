"""Creating and reading runs: those methods of the Journal port on DynamoDB."""

from __future__ import annotations

from collections.abc import Sequence

from stepwell_orchestrator.aws.attribute_values import Item, number, text
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Put, Range, Table
from stepwell_orchestrator.aws.table.items import Items
from stepwell_orchestrator.aws.table.journal.writers import new_writer
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.aws.table.table import PK, SK, TTL
from stepwell_orchestrator.fresh_ids import Entropy
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.model.step import StepEntry


class Runs:
    """Runs by id, and the runs of an event."""

    def __init__(self, table: Table, items: Items, retention: Retention, entropy: Entropy) -> None:
        self._table = table
        self._items = items
        self._retention = retention
        self._entropy = entropy

    async def create_run(self, header: RunHeader, *, idempotency_keys: Sequence[str], expires_at_ms: int) -> str:
        """Create a run, unless one of its keys or its id is taken. Returns the id of the run that holds them."""
        assert header.outcome is None, f"run {header.run_id} cannot be created ended"
        item = await self._items.header(header)
        await gather_limited(lambda event_id: self._link(event_id, header), dict.fromkeys(header.event_ids))
        names = list(dict.fromkeys(idempotency_keys))
        actions = [
            *(self._held(name, header, expires_at_ms) for name in names),
            Put(item, f"attribute_not_exists({PK})"),
        ]
        try:
            await self._table.transact(actions, new_writer(self._entropy).hex())
        except ConditionFailed as failed:
            holders = [
                old[keys.KEY_HOLDER]["S"] for old in failed.olds.values() if old is not None and keys.KEY_HOLDER in old
            ]
            return next(iter(holders), header.run_id)
        return header.run_id

    async def load(self, run_id: str) -> Run | None:
        """A run with its events and all its entries."""
        header = await self.get_header(run_id)
        return None if header is None else await self.run_of(header)

    async def run_of(self, header: RunHeader) -> Run:
        """The run of a header.

        The header was read first. A wish is left after what it is about was written, so the entries that are read now
        have that of every wish the header counts.
        """
        events: list[Event] = []
        entries: dict[str, StepEntry] = {}

        async def read_events() -> None:
            events.extend(await self._events(header.event_ids))

        async def read_entries() -> None:
            entries.update(await self._entries(header.run_id))

        await gather_limited(lambda read: read(), (read_events, read_entries))
        return Run(header, tuple(events), entries)

    async def get_header(self, run_id: str) -> RunHeader | None:
        """A run's header."""
        item = await self._table.get(keys.header_key(run_id))
        return None if item is None else await self._items.read_header(item)

    async def get_entry(self, run_id: str, step_id: str) -> StepEntry | None:
        """One entry."""
        item = await self._table.get(keys.entry_key(run_id, step_id))
        return None if item is None else await self._items.read_entry(item)

    async def runs_of_event(self, internal_id: str) -> list[RunHeader]:
        """The runs an event started, oldest first."""
        values = {":pk": text(keys.event_pk(internal_id)), ":links": text(keys.LINK_PREFIX)}
        links = Range(f"{PK} = :pk AND begins_with({SK}, :links)", values)
        run_ids = [item[SK]["S"].removeprefix(keys.LINK_PREFIX) async for item in self._table.items(links)]
        items = await self._table.get_many(map(keys.header_key, run_ids))
        headers = await gather_limited(self._items.read_header, items)
        return sorted(headers, key=lambda header: (header.created_at_ms, header.run_id))

    async def _link(self, event_id: str, header: RunHeader) -> None:
        """Lead from an event to its run. It comes before the run: one that leads nowhere is passed over."""
        kept = {TTL: self._retention.record(header.created_at_ms)}
        await self._table.do(Put({**keys.link_key(event_id, header.run_id), **kept}))

    def _held(self, name: str, header: RunHeader, expires_at_ms: int) -> Put:
        """Take an idempotency key that is free, or has run out by the run's own time."""
        item = {
            **keys.idempotency_key(name),
            keys.KEY_HOLDER: text(header.run_id),
            keys.KEY_EXPIRES: number(expires_at_ms),
            TTL: self._retention.key(expires_at_ms),
        }
        condition = f"attribute_not_exists({PK}) OR {keys.KEY_EXPIRES} <= :now"
        return Put(item, condition, {":now": number(header.created_at_ms)})

    async def _events(self, event_ids: Sequence[str]) -> list[Event]:
        items = await self._table.get_many(map(keys.event_key, event_ids))
        events = {event.internal_id: event for event in await gather_limited(self._items.read_event, items)}
        return [events[event_id] for event_id in event_ids if event_id in events]

    async def _entries(self, run_id: str) -> dict[str, StepEntry]:
        values = {":pk": text(keys.run_pk(run_id)), ":entries": text(keys.ENTRY_PREFIX)}
        wanted = Range(f"{PK} = :pk AND begins_with({SK}, :entries)", values)
        items: list[Item] = [item async for item in self._table.items(wanted)]
        return await self._items.read_entries(items)
