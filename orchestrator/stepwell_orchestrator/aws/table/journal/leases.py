"""The drive lease of a run: those methods of the Journal port on DynamoDB.

Each is one conditional update of the header, or a few of which only the last one counts. ``acquire`` tries the update
for a free lease; when that is refused, the header as it was found says which one to try next:

| the header shows         | the update         | on the condition that          | the asker is told                  |
| ------------------------ | ------------------ | ------------------------------ | ---------------------------------- |
| no lease, and no end     | take it            | there still is none            | Acquired                           |
| a lease that runs        | leave a wish       | it still runs                  | Busy                               |
| a lease that ran out     | take it over       | it still has run out           | Acquired, as a takeover            |
| no lease, and an end     | none               |                                | Over                               |

What may come between:

| what comes between                      | the table shows          | who goes on                           | test    |
| --------------------------------------- | ------------------------ | ------------------------------------- | ------- |
| a release, before the wish              | no lease                 | the asker: its wish is refused, so it | 1       |
|                                         |                          | takes the free lease                  |         |
| a wish, before the release              | a newer ``wanted``       | the holder: its release is refused    | 1       |
| another asker, at a lease that ran out  | a newer term             | that one: the slower asker leaves a   | 2       |
|                                         |                          | wish                                  |         |
| a renewal, before the takeover          | a lease that runs        | the holder: the asker leaves a wish   | 3       |
| a takeover, before renewal or release   | a newer term             | the new holder: the old one is told   | 3, 4    |
|                                         |                          | so                                    |         |
| a reply is lost, and the client library | the asker as the writer  | the asker: it has what it asked for   | 5, 6    |
| repeats the call                        |                          |                                       |         |
| a change between every two looks        | ever another lease       | nobody: StoreError, and the item      | 7       |
|                                         |                          | comes again                           |         |
| the holder dies with its lease in the   | a lease that ran out     | the sweep, by ``expired_leases``      | 8       |
| index                                   |                          |                                       |         |
| the holder dies with a fresh lease      | a lease that ran out     | the queue item it works on, by its    | 8, 9    |
|                                         |                          | redelivery                            |         |

Most leases are given back within seconds, so a fresh one is not entered into the index in which the sweep looks: that
would be two write units a drive. A wish enters it, since the wisher's own queue item goes; so do the first renewal and
a takeover (decision 16).

1. ``tests/orchestrator/aws/table/test_races.py::test_a_wish_is_seen_by_the_release_or_gets_the_lease``
2. ``tests/orchestrator/aws/table/test_races.py::test_of_two_takeovers_one_is_told_busy``
3. ``tests/orchestrator/aws/table/test_races.py::test_a_takeover_and_a_late_renewal_do_not_both_hold``
4. ``tests/orchestrator/aws/table/test_races.py::test_a_takeover_and_the_release_of_a_slow_driver_do_not_both_hold``
5. ``tests/orchestrator/aws/test_lost_replies.py::test_a_repeated_taking_of_a_free_lease_has_it``
6. ``tests/orchestrator/aws/test_lost_replies.py::test_a_repeated_release_is_one``
7. ``tests/orchestrator/aws/table/test_races.py::test_acquiring_gives_up_a_lease_that_never_stands_still``
8. ``tests/orchestrator/aws/table/test_listing.py::test_only_what_is_driven_for_long_is_in_the_index_of_leases``
9. ``tests/orchestrator/aws/test_crash_everywhere.py::test_a_death_between_any_two_calls_is_survived``
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from stepwell_orchestrator.aws.attribute_values import Item, Key, binary, integer, number, text
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Range, Table, Update
from stepwell_orchestrator.aws.table.items import BEGUN, DOCUMENT, KEPT, PROGRESS, TERM, WANTED, WRITER, Items
from stepwell_orchestrator.aws.table.journal.writers import new_writer, wrote
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.aws.table.table import LEASE_UNTIL, LEASED_UNDER, LEASES, PK, SK
from stepwell_orchestrator.errors import StoreError, lease_lost
from stepwell_orchestrator.fresh_ids import Entropy
from stepwell_orchestrator.model.run import Progress
from stepwell_orchestrator.ports import Acquired, Acquisition, Busy, Over, Unknown

_TRIES: Final = 20
"""How often what was found may have changed by the time it is acted upon."""

HELD: Final = f"{TERM} = :term AND attribute_exists({LEASE_UNTIL})"
"""The condition of a driver's writes: that it still drives in ``:term``."""


class _State(Enum):
    """How a lease can be found, and the condition that it is so."""

    FREE = f"attribute_exists({PK}) AND attribute_not_exists({LEASE_UNTIL}) AND attribute_not_exists({DOCUMENT})"
    HELD = f"{LEASE_UNTIL} > :now"
    RUN_OUT = f"{LEASE_UNTIL} <= :now"


class Leases:
    """Taking, prolonging and giving back the right to drive a run."""

    def __init__(self, table: Table, items: Items, retention: Retention, entropy: Entropy) -> None:
        self._table = table
        self._items = items
        self._retention = retention
        self._entropy = entropy

    async def acquire(self, run_id: str, now_ms: int, until_ms: int) -> Acquisition:
        """Bump ``wanted``, and take the drive lease if it is free or has expired.

        Raises StoreError when the lease is another one at every look.
        """
        writer = new_writer(self._entropy)
        state = _State.FREE
        for _ in range(_TRIES):
            action = _wish(run_id, now_ms) if state is _State.HELD else _take(run_id, state, now_ms, until_ms, writer)
            try:
                item: Item | None = await self._table.do(action, "ALL_NEW")
            except ConditionFailed as failed:
                item = failed.old
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
        """Refuse to drive a run that has lost items, and note that what a driver writes is kept as usual only."""
        kept_until_ms, usual_ms = int(header[KEPT]["N"]), now_ms + self._retention.life_ms
        if kept_until_ms < now_ms:
            raise StoreError(
                f"run {run_id} cannot go on: its steps were only kept until {kept_until_ms} (epoch milliseconds), "
                "because the sweep has not renewed them for weeks; cancel the run, and repair the sweep"
            )
        if kept_until_ms > usual_ms:
            values = {":usual": number(usual_ms)}
            await self._table.do(Update(keys.header_key(run_id), f"SET {KEPT} = :usual", values=values))

    async def renew(self, run_id: str, term: int, until_ms: int) -> bool:
        """Prolong the drive lease, and enter it into the index. Returns False when that term is over."""
        values = {":until": number(until_ms), ":term": number(term), ":shard": text(keys.leased_under(run_id))}
        change = f"SET {LEASE_UNTIL} = :until, {LEASED_UNDER} = :shard"
        update = Update(keys.header_key(run_id), change, HELD, values)
        try:
            await self._table.do(update)
        except ConditionFailed:
            return False
        return True

    async def wake(self, run_id: str, term: int) -> bool:
        """Bump ``wanted`` for the driver of that term. Returns False when it drives no more."""
        values = {":one": number(1), ":term": number(term)}
        condition = f"{HELD} AND attribute_not_exists({DOCUMENT})"
        try:
            await self._table.do(Update(keys.header_key(run_id), f"SET {WANTED} = {WANTED} + :one", condition, values))
        except ConditionFailed:
            return False
        return True

    async def release(self, run_id: str, term: int, wanted: int, progress: Progress | None) -> int | None:
        """Free the lease, unless ``wanted`` has moved.

        Returns None when it is free. Returns the new ``wanted``, and nothing changes, when that has moved. Raises
        LeaseLostError when the term is over.
        """
        writer = new_writer(self._entropy)
        values = {":term": number(term), ":wanted": number(wanted), ":writer": binary(writer)}
        change = f"SET {WRITER} = :writer"
        if progress is not None:
            values[":progress"] = await self._items.progress(progress)
            change += f", {PROGRESS} = :progress"
        change += f" REMOVE {LEASE_UNTIL}, {LEASED_UNDER}"
        update = Update(keys.header_key(run_id), change, f"{HELD} AND {WANTED} = :wanted", values)
        try:
            await self._table.do(update)
        except ConditionFailed as failed:
            found = failed.old
            if wrote(found, writer):
                return None
            if not drives(found, term):
                raise lease_lost(run_id, term) from failed
            assert found is not None
            return int(found[WANTED]["N"])
        return None

    async def expired_leases(self, now_ms: int, limit: int) -> list[str]:
        """Find runs whose drive lease has expired without a release, oldest first. A fresh lease is left to its item.

        An index says which may have; the headers themselves say which have.
        """

        async def of_shard(shard: str) -> list[Key]:
            values = {":shard": text(shard), ":now": number(now_ms)}
            condition = f"{LEASED_UNDER} = :shard AND {LEASE_UNTIL} <= :now"
            page = await self._table.query(Range(condition, values, index=LEASES, limit=limit))
            return [{PK: item[PK], SK: item[SK]} for item in page.items]

        shards = await gather_limited(of_shard, keys.lease_shards())
        headers = await self._table.get_many(key for found in shards for key in found)
        times = ((integer(header, LEASE_UNTIL), keys.id_of(header[PK]["S"])) for header in headers)
        expired = sorted((until_ms, run_id) for until_ms, run_id in times if until_ms is not None)
        return [run_id for until_ms, run_id in expired if until_ms <= now_ms][:limit]


def drives(header: Item | None, term: int) -> bool:
    """Tell whether that term is the current one and its lease was not released."""
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
