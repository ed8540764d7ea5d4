"""The drive lease of a run: those methods of the Journal port on DynamoDB.

Each is one conditional update of the header, or a few of which only the last one counts:

- A free lease is taken by one update. It is refused with the header as it was found, which says what to try next: to
  take over a lease that ran out, or to leave a wish with one that is held. Each of these is done on the condition that
  what was found is still so; otherwise what is found now says what to try. So a wish is seen by the holder's release,
  or else makes the wisher the holder; and whoever took a lease knows whether it was free or had run out.
- An update whose reply was lost is repeated by the client library, and then meets its own effect: the header names the
  writer who took or released the lease last.
- Most leases are given back within seconds, so a fresh one is not entered into the index in which the sweep looks: that
  would be two write units a drive. Until it is, the queue item that its holder works on is what comes again if the
  holder dies. Whoever else has an item of the run leaves a wish before the item goes, and the wish enters the lease;
  so do the first renewal and a takeover (decision 16).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from stepwell_orchestrator.aws.attribute_values import Item, Key, binary, integer, number, text
from stepwell_orchestrator.aws.gather_limited import together
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import Range, Refused, Update
from stepwell_orchestrator.aws.table.items import BEGUN, DOCUMENT, KEPT, PROGRESS, TERM, WANTED, WRITER
from stepwell_orchestrator.aws.table.journal.journal_part import Part, wrote
from stepwell_orchestrator.aws.table.table import LEASE_UNTIL, LEASED_UNDER, LEASES, PK, SK
from stepwell_orchestrator.errors import StoreError, lease_lost
from stepwell_orchestrator.model.run import Progress
from stepwell_orchestrator.ports import Acquired, Acquisition, Busy, Over, Unknown

_TRIES: Final = 20
"""How often what was found may have changed by the time it is acted upon."""

HELD: Final = f"{TERM} = :term AND attribute_exists({LEASE_UNTIL})"
"""The condition of whoever drives in ``:term``."""


class _State(Enum):
    """How a lease can be found, and the condition that it is so."""

    FREE = f"attribute_exists({PK}) AND attribute_not_exists({LEASE_UNTIL}) AND attribute_not_exists({DOCUMENT})"
    HELD = f"{LEASE_UNTIL} > :now"
    RUN_OUT = f"{LEASE_UNTIL} <= :now"


class Leases(Part):
    """Taking, prolonging and giving back the right to drive a run."""

    async def acquire(self, run_id: str, now_ms: int, until_ms: int) -> Acquisition:
        """Bump ``wanted``, and take the drive lease if it is free or has expired."""
        writer = self._writer()
        state = _State.FREE
        for _ in range(_TRIES):
            action = _wish(run_id, now_ms) if state is _State.HELD else _take(run_id, state, now_ms, until_ms, writer)
            try:
                item: Item | None = await self._table.do(action, "ALL_NEW")
            except Refused as refused:
                item = refused.old
                if item is None:
                    return Unknown()
                held_until_ms = integer(item, LEASE_UNTIL)
                if held_until_ms is None and DOCUMENT in item:
                    return Over(await self._items.read_header(item))
                if held_until_ms is None or not wrote(item, writer):
                    state = _state(held_until_ms, now_ms)
                    continue
            assert item is not None
            if state is _State.HELD:
                return Busy(int(item[LEASE_UNTIL]["N"]))
            await self._check_kept(run_id, item, now_ms)
            return Acquired(await self._items.read_header(item), takeover=state is _State.RUN_OUT)
        raise StoreError(f"run {run_id}: its lease changed {_TRIES} times while it was asked for; try again later")

    async def _check_kept(self, run_id: str, header: Item, now_ms: int) -> None:
        """A run must not be driven from half its entries; and what a driver writes is kept for the usual time only."""
        kept_until_ms, usual_ms = int(header[KEPT]["N"]), now_ms + self._items.keeping.life_ms
        if kept_until_ms < now_ms:
            raise StoreError(
                f"run {run_id} cannot go on: its steps were only kept until {kept_until_ms} (epoch milliseconds), "
                "because the sweep has not renewed them for weeks; cancel the run, and repair the sweep"
            )
        if kept_until_ms > usual_ms:
            values = {":usual": number(usual_ms)}
            await self._table.do(Update(keys.header_key(run_id), f"SET {KEPT} = :usual", values=values))

    async def renew(self, run_id: str, term: int, until_ms: int) -> bool:
        """Prolong the drive lease, and enter it into the index; False when that term is over."""
        values = {":until": number(until_ms), ":term": number(term), ":shard": text(keys.leased_under(run_id))}
        change = f"SET {LEASE_UNTIL} = :until, {LEASED_UNDER} = :shard"
        update = Update(keys.header_key(run_id), change, HELD, values)
        try:
            await self._table.do(update)
        except Refused:
            return False
        return True

    async def wake(self, run_id: str, term: int) -> bool:
        """Bump ``wanted`` for the driver of that term; False when it drives no more."""
        values = {":one": number(1), ":term": number(term)}
        condition = f"{HELD} AND attribute_not_exists({DOCUMENT})"
        try:
            await self._table.do(Update(keys.header_key(run_id), f"SET {WANTED} = {WANTED} + :one", condition, values))
        except Refused:
            return False
        return True

    async def release(self, run_id: str, term: int, wanted: int, progress: Progress | None) -> int | None:
        """Free the lease: None; or, when ``wanted`` has moved, its new value and nothing changes."""
        writer = self._writer()
        values = {":term": number(term), ":wanted": number(wanted), ":writer": binary(writer)}
        change = f"SET {WRITER} = :writer"
        if progress is not None:
            values[":progress"] = await self._items.progress(progress)
            change += f", {PROGRESS} = :progress"
        change += f" REMOVE {LEASE_UNTIL}, {LEASED_UNDER}"
        update = Update(keys.header_key(run_id), change, f"{HELD} AND {WANTED} = :wanted", values)
        try:
            await self._table.do(update)
        except Refused as refused:
            found = refused.old
            if wrote(found, writer):
                return None
            if not drives(found, term):
                raise lease_lost(run_id, term) from refused
            assert found is not None
            return int(found[WANTED]["N"])
        return None

    async def expired_leases(self, now_ms: int, limit: int) -> list[str]:
        """Runs whose drive lease has expired without a release, oldest first; a fresh lease is left to its item.

        An index says which may have; the headers themselves say which have.
        """

        async def of_shard(shard: str) -> list[Key]:
            values = {":shard": text(shard), ":now": number(now_ms)}
            condition = f"{LEASED_UNDER} = :shard AND {LEASE_UNTIL} <= :now"
            page = await self._table.query(Range(condition, values, index=LEASES, limit=limit))
            return [{PK: item[PK], SK: item[SK]} for item in page.items]

        shards = await together(of_shard, keys.lease_shards())
        headers = await self._table.get_many(key for found in shards for key in found)
        times = ((integer(header, LEASE_UNTIL), keys.id_of(header[PK]["S"])) for header in headers)
        expired = sorted((until_ms, run_id) for until_ms, run_id in times if until_ms is not None)
        return [run_id for until_ms, run_id in expired if until_ms <= now_ms][:limit]


def drives(header: Item | None, term: int) -> bool:
    """Whether that term is the current one and its lease was not released."""
    return header is not None and LEASE_UNTIL in header and integer(header, TERM) == term


def _state(held_until_ms: int | None, now_ms: int) -> _State:
    if held_until_ms is None:
        return _State.FREE
    return _State.HELD if held_until_ms > now_ms else _State.RUN_OUT


def _take(run_id: str, state: _State, now_ms: int, until_ms: int, writer: bytes) -> Update:
    change = (
        f"SET {WANTED} = {WANTED} + :one, {TERM} = {TERM} + :one, {BEGUN} = if_not_exists({BEGUN}, :now), "
        f"{LEASE_UNTIL} = :until, {WRITER} = :writer"
    )
    values = {":one": number(1), ":now": number(now_ms), ":until": number(until_ms), ":writer": binary(writer)}
    if state is _State.RUN_OUT:
        change += f", {LEASED_UNDER} = :shard"
        values[":shard"] = text(keys.leased_under(run_id))
    return Update(keys.header_key(run_id), change, state.value, values)


def _wish(run_id: str, now_ms: int) -> Update:
    """Bump ``wanted``. The wisher's item goes, so from now on the sweep answers for the lease."""
    values = {":one": number(1), ":now": number(now_ms), ":shard": text(keys.leased_under(run_id))}
    change = f"SET {WANTED} = {WANTED} + :one, {LEASED_UNDER} = :shard"
    return Update(keys.header_key(run_id), change, _State.HELD.value, values)
