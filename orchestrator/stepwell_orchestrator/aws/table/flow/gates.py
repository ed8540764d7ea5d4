"""The Gates port on DynamoDB: a slot is an item, so that no two hold it; a line is sharded, and a mark shows it.

What may come between:

==================================  ====================================  ==============================================
what comes between                  the table shows                       who makes up for it
==================================  ====================================  ==============================================
two take the last free slot         its one holder                        the other: its put is refused, and it looks
                                                                          again
  test_gates.py::test_two_at_once_never_get_the_last_slot
a reply is lost, and the client     a slot of that holder                 the holder: it finds itself
library repeats the put
  test_gate_races.py::test_a_repeated_taking_of_a_slot_has_it
the limit grows beyond a partition  slots in another partition            the taker: it notes first how many partitions
                                                                          there are, so that all look there
  test_gates.py::test_a_lowered_limit_counts_those_who_hold_more
a slot is freed after a waiter      no mark, or the waiter                the waiter: it looks at the slots once the
joined, before its mark                                                   mark is there
  test_gate_races.py::test_a_mark_comes_before_the_second_look
somebody joins while the mark is    the waiter, no mark                   the sweep: it puts the mark back if anybody
taken away                                                                stands there, and looks after that
  test_gate_races.py::test_a_mark_taken_from_under_a_waiter_is_put_back
a slot is given back by one who     another holder                        nobody: it is deleted only from its holder
lost it
  test_gates.py::test_a_slot_is_given_back_by_its_holder_alone
==================================  ====================================  ==============================================
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from typing import Final

from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.aws.attribute_values import Item, Value, binary, integer, number, text
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.table import keys
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Delete, Put, Range, Table, Update, key_of
from stepwell_orchestrator.aws.table.table import LEASE_UNTIL, LEASED_UNDER, LEASES, PK, SK, TTL
from stepwell_orchestrator.documents import read_work, work_document
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.flow import GateState, Holder, Place, Waiter
from stepwell_orchestrator.model.queue_item import Execute, Start

SLOTS_A_PART: Final = 50
"""One query reads the slots of a part, some 150 bytes each."""
_TRIES: Final = 20
"""How often a slot that was free may be taken by another one first."""
_KEPT_MS: Final = 30 * DAY_MS

_HOLDER: Final = "h"
_PARTS: Final = "c"
TAT: Final = "a"
"""Of a rate: its theoretical arrival time."""
_FUNCTION: Final = "f"
_LIMIT: Final = "i"
_SINCE: Final = "b"
_WORK: Final = "d"
_TURN: Final = "v"
TAKERS: Final = "h"
"""Of a rate: the last who went through."""


@dataclass(frozen=True, slots=True)
class _Slots:
    """What the partitions of a gate hold: its slots by number, and what the first partition has beside them."""

    by_number: dict[int, Item]
    parts: int
    marked: bool
    rate: Item

    def live(self, now_ms: int) -> dict[int, Holder]:
        """The holders whose time is not up."""
        holders = {
            slot: Holder(item[_HOLDER]["S"], integer(item, LEASE_UNTIL)) for slot, item in self.by_number.items()
        }
        return {slot: holder for slot, holder in holders.items() if holder.until_ms is None or holder.until_ms > now_ms}

    def of(self, holder: str) -> list[int]:
        """The slots that have a holder's name, its time up or not. One of them at most is live."""
        return [slot for slot, item in self.by_number.items() if item[_HOLDER]["S"] == holder]


class DynamoGates:
    """Slots and lines in one table. The port says what each method promises; they raise AwsError."""

    def __init__(self, dynamodb: Service, *, table: str) -> None:
        self._table = Table(dynamodb, table)

    async def take_slot(self, gate: str, most: int, holder: str, *, now_ms: int, until_ms: int | None) -> bool:
        """Hold one of ``most`` slots. Raises StoreError when the slot that is tried is taken first again and again."""
        for _ in range(_TRIES):
            slots = await self._slots(gate)
            live = slots.live(now_ms)
            slot = next((slot for slot in slots.of(holder) if slot in live), None)
            if slot is None and len(live) >= most:
                return False
            if slot is None:
                await self._note_parts(gate, most, slots.parts, now_ms)
                slot = _free_slot(live, most, holder)
            if await self._put_slot(gate, slot, holder, now_ms, until_ms):
                return True
        raise StoreError(f"gate {gate}: its slots were taken by others {_TRIES} times in a row; try again later")

    async def renew_slot(self, gate: str, holder: str, until_ms: int) -> bool:
        """Prolong a slot. Returns False when it is not the holder's any more."""
        values = {":until": number(until_ms), ":holder": text(holder), ":ttl": _forgotten_after(until_ms)}
        change = f"SET {LEASE_UNTIL} = :until, {TTL} = :ttl"
        for slot in (await self._slots(gate)).of(holder):
            with suppress(ConditionFailed):
                await self._table.do(Update(_slot_key(gate, slot), change, f"{_HOLDER} = :holder", values))
                return True
        return False

    async def give_slot(self, gate: str, holder: str) -> None:
        """Give a slot back."""
        for slot in (await self._slots(gate)).of(holder):
            with suppress(ConditionFailed):
                await self._table.do(Delete(_slot_key(gate, slot), f"{_HOLDER} = :holder", {":holder": text(holder)}))

    async def join_line(self, gate: str, waiter: Waiter) -> None:
        """Stand in line, then see to it that the line is marked: who looks from then on finds it."""
        values = {
            ":function": text(waiter.function_id),
            ":limit": text(waiter.limit_id),
            ":work": binary(work_document(waiter.work)),
            ":since": number(waiter.since_ms),
            ":none": number(0),
            ":one": number(1),
        }
        change = (
            f"SET {_FUNCTION} = :function, {_LIMIT} = :limit, {_WORK} = :work, "
            f"{_SINCE} = if_not_exists({_SINCE}, :since), {_TURN} = if_not_exists({_TURN}, :none) + :one"
        )
        await self._table.do(Update(_place_key(gate, waiter.place), change, values=values))
        if await self._table.get(key_of(keys.gate_pk(gate), keys.MARK_SK)) is None:
            await self._mark(gate, waiter.since_ms)

    async def leave_line(self, gate: str, place: Place, limit_id: str | None = None) -> None:
        """Leave the line."""
        leaving = Delete(_place_key(gate, place))
        if limit_id is not None:
            leaving = replace(leaving, condition=f"{_LIMIT} = :limit", values={":limit": text(limit_id)})
        with suppress(ConditionFailed):
            await self._table.do(leaving)

    async def look(self, gate: str, now_ms: int, *, waiters: int) -> GateState:
        """The gate as it is. The line is read only where it is marked."""
        slots = await self._slots(gate)
        holders = tuple(slots.live(now_ms).values())
        line = await self._line(gate, waiters) if slots.marked and waiters else ()
        return GateState(holders, line, integer(slots.rate, TAT), takers_of(slots.rate))

    async def count_ahead(self, gate: str, place: Place, most: int) -> int:
        """How many stand before a place."""
        before = keys.place_sk(place.order_ms, place.waiter)

        async def of_shard(shard: int) -> int:
            values = {":pk": text(keys.line_pk(gate, shard)), ":sk": text(before)}
            page = await self._table.query(Range(f"{PK} = :pk AND {SK} < :sk", values, limit=most))
            return len(page.items)

        return min(most, sum(await gather_limited(of_shard, range(keys.LINE_SHARDS))))

    async def gates_waited_at(self, *, cursor: str | None, limit: int) -> tuple[list[str], str | None]:
        """Gates with a marked line, shard by shard; the cursor is the next shard, and the last mark of this page."""
        shards = keys.gate_shards()
        shard, _, last = (cursor or shards[0]).partition(" ")
        after = None
        if last:
            since, _, gate = last.partition(" ")
            after = {**key_of(keys.gate_pk(gate), keys.MARK_SK), LEASED_UNDER: text(shard), LEASE_UNTIL: {"N": since}}
        condition = f"{LEASED_UNDER} = :shard"
        page = await self._table.query(Range(condition, {":shard": text(shard)}, index=LEASES, limit=limit), after)
        gates = [keys.gate_of(item[PK]["S"]) for item in page.items]
        if page.after is not None:
            return gates, f"{shard} {page.after[LEASE_UNTIL]['N']} {gates[-1]}"
        following = shards.index(shard) + 1
        return gates, shards[following] if following < len(shards) else None

    async def forget_line(self, gate: str) -> None:
        """Take the mark away, and put it back if anybody stands there after that."""
        mark = await self._table.do(Delete(key_of(keys.gate_pk(gate), keys.MARK_SK)), "ALL_OLD")
        if await self._line(gate, 1):
            await self._mark(gate, integer(mark, LEASE_UNTIL) or 0)

    async def _mark(self, gate: str, since_ms: int) -> None:
        await self._table.do(
            Put(
                {
                    **key_of(keys.gate_pk(gate), keys.MARK_SK),
                    LEASED_UNDER: text(keys.waited_under(gate)),
                    LEASE_UNTIL: number(since_ms),
                }
            )
        )

    async def _slots(self, gate: str) -> _Slots:
        first = await self._part(gate, 0)
        beside = {item[SK]["S"]: item for item in first}
        parts = integer(beside.get(keys.PARTS_SK, {}), _PARTS) or 1
        others = await gather_limited(lambda part: self._part(gate, part), range(1, parts))
        slots = [item for items in (first, *others) for item in items if item[SK]["S"].startswith(keys.SLOT_PREFIX)]
        return _Slots(
            by_number={keys.slot_number(item[SK]["S"]): item for item in slots},
            parts=parts,
            marked=keys.MARK_SK in beside,
            rate=beside.get(keys.RATE_SK, {}),
        )

    async def _part(self, gate: str, part: int) -> list[Item]:
        rows = Range(f"{PK} = :pk", {":pk": text(keys.gate_pk(gate, part))})
        return [item async for item in self._table.items(rows)]

    async def _note_parts(self, gate: str, most: int, known: int, now_ms: int) -> None:
        parts = -(-most // SLOTS_A_PART)
        if parts <= known:
            return
        values = {":parts": number(parts), ":ttl": number((now_ms + _KEPT_MS) // SECOND_MS)}
        condition = f"attribute_not_exists({_PARTS}) OR {_PARTS} < :parts"
        key = key_of(keys.gate_pk(gate), keys.PARTS_SK)
        with suppress(ConditionFailed):
            await self._table.do(Update(key, f"SET {_PARTS} = :parts, {TTL} = :ttl", condition, values))

    async def _put_slot(self, gate: str, slot: int, holder: str, now_ms: int, until_ms: int | None) -> bool:
        item: dict[str, Value] = {**_slot_key(gate, slot), _HOLDER: text(holder)}
        if until_ms is not None:
            item |= {LEASE_UNTIL: number(until_ms), TTL: _forgotten_after(until_ms)}
        condition = f"attribute_not_exists({PK}) OR {LEASE_UNTIL} <= :now OR {_HOLDER} = :holder"
        try:
            await self._table.do(Put(item, condition, {":now": number(now_ms), ":holder": text(holder)}))
        except ConditionFailed:
            return False
        return True

    async def _line(self, gate: str, limit: int) -> tuple[Waiter, ...]:
        async def of_shard(shard: int) -> Sequence[Item]:
            values = {":pk": text(keys.line_pk(gate, shard))}
            return (await self._table.query(Range(f"{PK} = :pk", values, limit=limit))).items

        shards = await gather_limited(of_shard, range(keys.LINE_SHARDS))
        ordered = merge(*shards, key=lambda item: keys.read_place_sk(item[SK]["S"]))
        return tuple(_waiter(item) for item in islice(ordered, limit))


def takers_of(rate: Item) -> tuple[str, ...]:
    """The last who went through by a rate."""
    return tuple(value["S"] for value in rate[TAKERS]["L"]) if TAKERS in rate else ()


def _free_slot(live: dict[int, Holder], most: int, holder: str) -> int:
    """A slot to try. Where some hold more than ``most``, all try the lowest one, so that no two are let in for one."""
    free = [slot for slot in range(most) if slot not in live]
    crowded = any(slot >= most for slot in live)
    return free[0 if crowded else zlib.crc32(holder.encode()) % len(free)]


def _waiter(item: Item) -> Waiter:
    work = read_work(bytes(item[_WORK]["B"]))
    assert isinstance(work, Start | Execute), f"nobody waits to do {work}"
    place = Place(*keys.read_place_sk(item[SK]["S"]))
    return Waiter(place, item[_FUNCTION]["S"], item[_LIMIT]["S"], work, int(item[_SINCE]["N"]), int(item[_TURN]["N"]))


def _slot_key(gate: str, slot: int) -> dict[str, Value]:
    return {**key_of(keys.gate_pk(gate, slot // SLOTS_A_PART), keys.slot_sk(slot))}


def _place_key(gate: str, place: Place) -> dict[str, Value]:
    pk = keys.line_pk(gate, keys.line_shard(place.waiter))
    return {**key_of(pk, keys.place_sk(place.order_ms, place.waiter))}


def _forgotten_after(until_ms: int) -> Value:
    return number((until_ms + DAY_MS) // SECOND_MS)
