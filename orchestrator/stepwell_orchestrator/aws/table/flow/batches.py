"""The Batches port on DynamoDB: an item has the open batch of a gate; each closed batch is an item beside it.

Events are added by updates that need no look at those before, so that many may come at once. A batch that is full, or
frozen by its timer, takes no more; then it is moved aside in one transaction. The open one counts the moves.
What may come between:

==================================  ====================================  ==============================================
what comes between                  the table shows                       who makes up for it
==================================  ====================================  ==============================================
two add the last event that fits    the first of them                     the other: its update is refused, it moves the
                                                                          full batch aside and opens the next one
  test_batches.py::test_of_many_at_once_every_event_is_in_one_batch
a reply is lost, and the client     the event in the batch                the caller: it finds its event
library repeats the update
  test_batch_races.py::test_a_repeated_update_adds_an_event_once
the batch is moved between the      another count of moves                the caller: its update is refused, and it
look at closed ones and the update                                        looks at the closed ones again
  test_batch_races.py::test_an_event_is_not_added_again_while_its_batch_is_moved
who fills a batch dies before the   a full batch that is open             the next one who adds, or the timer
move
  test_batch_races.py::test_a_full_batch_that_nobody_moved_is_moved_by_the_next
a batch is closed by its timer      a frozen batch                        the one who adds: it moves it aside and opens
while somebody adds                                                       the next one
  test_batch_races.py::test_an_event_that_comes_while_the_timer_closes_opens_the_next_batch
==================================  ====================================  ==============================================
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.aws.attribute_values import Item, Key, Value, integer, number, text
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Delete, Put, Range, Table, Update, key_of
from stepwell_orchestrator.aws.table.table import PK, SK, TTL
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.fresh_ids import Entropy
from stepwell_orchestrator.model.flow import BatchBounds, BatchEvent, ClosedBatch, OpenBatch

_BATCH: Final = "i"
_EVENTS: Final = "e"
_FIRST_AT: Final = "b"
_BYTES: Final = "z"
_MOVES: Final = "k"
_FROZEN: Final = "f"
_CLOSED_AT: Final = "g"
_OPEN_MEMBERS: Final = f"{_BATCH}, {_EVENTS}, {_FIRST_AT}, {_BYTES}, {_FROZEN}"
_TRIES: Final = 20
_TOKEN_BYTES: Final = 16
_KEPT_MS: Final = 30 * DAY_MS
"""Of a closed batch: its run exists within seconds."""


class DynamoBatches:
    """Batches in one table. The port says what each method promises; they raise AwsError."""

    def __init__(self, dynamodb: Service, *, table: str, entropy: Entropy) -> None:
        self._table = Table(dynamodb, table)
        self._entropy = entropy

    async def append(self, gate: str, event: BatchEvent, bounds: BatchBounds, now_ms: int) -> OpenBatch:
        """Add an event to the gate's open batch, or open one. Raises StoreError when it is refused at every try."""
        for _ in range(_TRIES):
            head = await self._table.get(_head_key(gate)) or {}
            closed = await self._closed_batch_of(gate, event.event_id)
            if closed is not None:
                return closed
            is_in = _BATCH in head and event.event_id in _event_ids(head)
            if _BATCH in head and (_is_full(head, bounds) or _FROZEN in head):
                moved = await self._move(gate, head, now_ms)
                if is_in and moved:
                    return _open_batch(head, closed=True)
                continue
            if is_in:
                return _open_batch(head)
            added = await self._add(gate, event, bounds, head, now_ms)
            if added is None:
                continue
            if not _is_full(added, bounds):
                return _open_batch(added)
            await self._move(gate, added, now_ms)
            return _open_batch(added, closed=True)
        raise StoreError(f"gate {gate}: its batch was changed by others {_TRIES} times in a row; try again later")

    async def reserve(self, key: str, event_id: str, *, now_ms: int, expires_at_ms: int) -> bool:
        """Keep an idempotency key for an event, in the item that a run would have for it."""
        item = {
            **keys.idempotency_key(key),
            keys.KEY_HOLDER: text(event_id),
            keys.KEY_EXPIRES: number(expires_at_ms),
            TTL: number((expires_at_ms + DAY_MS) // SECOND_MS),
        }
        condition = f"attribute_not_exists({PK}) OR {keys.KEY_EXPIRES} <= :now OR {keys.KEY_HOLDER} = :event"
        try:
            await self._table.do(Put(item, condition, {":now": number(now_ms), ":event": text(event_id)}))
        except ConditionFailed:
            return False
        return True

    async def close(self, gate: str, batch_id: str, now_ms: int) -> ClosedBatch | None:
        """Close a batch, if it is open, and return it. Raises StoreError when others are in between at every try."""
        for _ in range(_TRIES):
            head = await self._table.get(_head_key(gate)) or {}
            if _BATCH not in head or head[_BATCH]["S"] != batch_id:
                return _closed_batch(await self._table.get(_closed_key(gate, batch_id)))
            freeze = Update(
                _head_key(gate),
                f"SET {_FROZEN} = :now",
                f"{_BATCH} = :batch",
                {":now": number(now_ms), ":batch": text(batch_id)},
            )
            with suppress(ConditionFailed):
                frozen = await self._table.do(freeze, "ALL_NEW")
                await self._move(gate, frozen, now_ms)
        raise StoreError(f"gate {gate}: its batch was changed by others {_TRIES} times in a row; try again later")

    async def forget(self, gate: str, batch_id: str) -> None:
        """Forget a closed batch."""
        await self._table.do(Delete(_closed_key(gate, batch_id)))

    async def look(self, gate: str, event_id: str) -> OpenBatch | None:
        """The batch that an event is in."""
        head = await self._table.get(_head_key(gate)) or {}
        if _BATCH in head and event_id in _event_ids(head):
            return _open_batch(head, closed=_FROZEN in head)
        return await self._closed_batch_of(gate, event_id)

    async def _closed_batch_of(self, gate: str, event_id: str) -> OpenBatch | None:
        values = {":pk": text(keys.gate_pk(gate)), ":closed": text(keys.CLOSED_BATCH_PREFIX)}
        closed = Range(f"{PK} = :pk AND begins_with({SK}, :closed)", values)
        async for item in self._table.items(closed):
            if event_id in _event_ids(item):
                return _open_batch(item, closed=True)
        return None

    async def _add(self, gate: str, event: BatchEvent, bounds: BatchBounds, head: Item, now_ms: int) -> Item | None:
        """Add an event to the batch that was found, or open one. Returns it then, None when it is another by now."""
        values: dict[str, Value] = {":events": {"SS": [event.event_id]}, ":bytes": number(event.size_bytes)}
        if _MOVES in head:
            values[":moves"] = head[_MOVES]
        condition = f"{_MOVES} = :moves" if _MOVES in head else f"attribute_not_exists({_MOVES})"
        if _BATCH in head:
            change = f"SET {_BYTES} = {_BYTES} + :bytes ADD {_EVENTS} :events"
            condition += (
                f" AND {_BATCH} = :batch AND attribute_not_exists({_FROZEN}) AND size({_EVENTS}) < :size"
                f" AND {_BYTES} < :most AND NOT contains({_EVENTS}, :event)"
            )
            values |= {
                ":event": text(event.event_id),
                ":batch": head[_BATCH],
                ":size": number(bounds.size),
                ":most": number(bounds.size_bytes),
            }
        else:
            change = f"SET {_BATCH} = :event, {_EVENTS} = :events, {_FIRST_AT} = :now, {_BYTES} = :bytes REMOVE {TTL}"
            condition += f" AND attribute_not_exists({_BATCH})"
            values |= {":event": text(event.event_id), ":now": number(now_ms)}
        try:
            return await self._table.do(Update(_head_key(gate), change, condition, values), "ALL_NEW")
        except ConditionFailed:
            return None

    async def _move(self, gate: str, head: Item, now_ms: int) -> bool:
        """Move a batch that takes no more aside. Returns False when it is another, or was moved by somebody else."""
        moves = (integer(head, _MOVES) or 0) + 1
        aside: dict[str, Value] = {
            **_closed_key(gate, head[_BATCH]["S"]),
            _BATCH: head[_BATCH],
            _EVENTS: head[_EVENTS],
            _FIRST_AT: head[_FIRST_AT],
            _CLOSED_AT: number(now_ms),
            TTL: number((now_ms + _KEPT_MS) // SECOND_MS),
        }
        values = {
            ":batch": head[_BATCH],
            ":size": number(len(_event_ids(head))),
            ":moves": number(moves),
            ":ttl": number((now_ms + DAY_MS) // SECOND_MS),
        }
        emptied = Update(
            _head_key(gate),
            f"SET {_MOVES} = :moves, {TTL} = :ttl REMOVE {_OPEN_MEMBERS}",
            f"{_BATCH} = :batch AND size({_EVENTS}) = :size",
            values,
        )
        try:
            await self._table.transact([Put(aside), emptied], self._entropy(_TOKEN_BYTES).hex())
        except ConditionFailed:
            return False
        return True


def _head_key(gate: str) -> Key:
    return key_of(keys.gate_pk(gate), keys.BATCH_SK)


def _closed_key(gate: str, batch_id: str) -> Key:
    return key_of(keys.gate_pk(gate), f"{keys.CLOSED_BATCH_PREFIX}{batch_id}")


def _event_ids(batch: Item) -> list[str]:
    found: list[str] = batch[_EVENTS]["SS"]
    return found


def _is_full(head: Item, bounds: BatchBounds) -> bool:
    return len(_event_ids(head)) >= bounds.size or int(head[_BYTES]["N"]) >= bounds.size_bytes


def _open_batch(batch: Item, *, closed: bool = False) -> OpenBatch:
    return OpenBatch(batch[_BATCH]["S"], len(_event_ids(batch)), int(batch[_FIRST_AT]["N"]), closed)


def _closed_batch(item: Item | None) -> ClosedBatch | None:
    if item is None:
        return None
    return ClosedBatch(item[_BATCH]["S"], tuple(sorted(_event_ids(item))), int(item[_CLOSED_AT]["N"]))
