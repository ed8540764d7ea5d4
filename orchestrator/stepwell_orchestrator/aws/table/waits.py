"""The Waits port on DynamoDB: pauses by what they ask for, the shapes of an event name, one waiter a signal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.aws.attribute_values import Item, Key, Value, binary, number, text
from stepwell_orchestrator.aws.payloads.blobs import compress, decompress
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Delete, Put, Range, Table, key_of
from stepwell_orchestrator.aws.table.names import in_key
from stepwell_orchestrator.aws.table.table import PK, SK, TTL
from stepwell_orchestrator.documents import pause_document, read_pause
from stepwell_orchestrator.model.pause import Pause, PauseKey
from stepwell_orchestrator.model.signal import SignalWait

TTL_MARGIN_MS: Final = DAY_MS
"""How long after its time a pause or a signal is kept: an event that came in time may be routed late."""
_DOCUMENT: Final = "d"
_SHAPE: Final = "s"
_RUN: Final = "r"
_STEP: Final = "i"
_EXPIRES: Final = "e"
_DELETES: Final = 25
"""How many deletions BatchWriteItem takes."""
_KNOWN_SHAPES_MAX: Final = 10_000


class DynamoWaits:
    """Pauses and signals in one table. The port says what each method promises; they raise AwsError."""

    def __init__(self, dynamodb: Service, *, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = Table(dynamodb, table)
        self._known_shapes: set[tuple[str, str]] = set()

    async def put_pause(self, pause: Pause) -> None:
        """File a pause. Its shape comes first, so that a router that reads the shapes finds every pause there is."""
        await self._put_shape(pause.key.event_name, pause.shape)
        item = {
            **_pause_key(pause.key),
            _SHAPE: text(pause.shape),
            _DOCUMENT: binary(compress(pause_document(pause))),
            TTL: _forgotten_after(pause.expires_at_ms),
        }
        await self._table.do(Put(item))

    async def drop_pauses(self, keys: Sequence[PauseKey]) -> None:
        """Take pauses out; one that is not there is ignored."""
        rows = [_pause_key(key) for key in dict.fromkeys(keys)]
        if len(rows) == 1:
            await self._table.do(Delete(rows[0]))
            return
        for start in range(0, len(rows), _DELETES):
            requests = [{"DeleteRequest": {"Key": row}} for row in rows[start : start + _DELETES]]
            reply = await self._dynamodb.call("batch_write_item", RequestItems={self._table.name: requests})
            # What a batch leaves out was throttled: single calls are repeated, after a while, by the client library.
            for left in reply.get("UnprocessedItems", {}).get(self._table.name, ()):
                await self._table.do(Delete(left["DeleteRequest"]["Key"]))

    async def shapes(self, event_name: str) -> list[str]:
        """Every shape that pauses of an event name have, or have had."""
        rows = Range(f"{PK} = :pk", {":pk": text(_shapes_partition(event_name))})
        return [item[_SHAPE]["S"] async for item in self._table.items(rows)]

    async def pauses(
        self, event_name: str, shape: str, index: str, *, after: PauseKey | None, limit: int
    ) -> list[Pause]:
        """The pauses filed under one index of one shape, ordered by key.

        Shapes share an index when their values are the same: those of others are read and left out.
        """
        after_sk = _pause_sk("", "") if after is None else _pause_sk(after.run_id, after.pause_id)
        values = {":pk": text(_pauses_partition(event_name, index)), ":sk": text(after_sk)}
        rows = Range(f"{PK} = :pk AND {SK} > :sk", values, limit=limit)
        page = await self._table.query(rows)
        found = _pauses_of(shape, event_name, index, page.items)
        while len(found) < limit and page.after is not None:
            page = await self._table.query(rows, page.after)
            found += _pauses_of(shape, event_name, index, page.items)
        return found[:limit]

    async def take_signal(self, wait: SignalWait, *, replace: bool, now_ms: int) -> bool:
        """Become the waiter of a signal, unless another step is. A repeat after a lost reply finds itself."""
        item = {
            **_signal_key(wait.name),
            _RUN: text(wait.run_id),
            _STEP: text(wait.step_id),
            _EXPIRES: number(wait.expires_at_ms),
            TTL: _forgotten_after(wait.expires_at_ms),
        }
        if replace:
            await self._table.do(Put(item))
            return True
        condition = f"attribute_not_exists({PK}) OR {_EXPIRES} <= :now OR ({_IS_WAITER})"
        try:
            await self._table.do(Put(item, condition, {":now": number(now_ms), **_waiter(wait)}))
        except ConditionFailed:
            return False
        return True

    async def get_signal(self, name: str) -> SignalWait | None:
        """Who waits for a signal."""
        item = await self._table.get(_signal_key(name))
        return None if item is None else SignalWait(name, item[_RUN]["S"], item[_STEP]["S"], int(item[_EXPIRES]["N"]))

    async def drop_signal(self, wait: SignalWait) -> None:
        """Stop waiting, unless another step is the waiter by now."""
        with suppress(ConditionFailed):
            await self._table.do(Delete(_signal_key(wait.name), _IS_WAITER, _waiter(wait)))

    async def _put_shape(self, event_name: str, shape: str) -> None:
        """Shapes are never forgotten, so one write of this process is enough."""
        if (event_name, shape) in self._known_shapes:
            return
        await self._table.do(Put({**key_of(_shapes_partition(event_name), _digest(shape)), _SHAPE: text(shape)}))
        if len(self._known_shapes) >= _KNOWN_SHAPES_MAX:
            self._known_shapes.clear()
        self._known_shapes.add((event_name, shape))


_IS_WAITER: Final = f"{_RUN} = :run AND {_STEP} = :step"


def _waiter(wait: SignalWait) -> dict[str, Value]:
    return {":run": text(wait.run_id), ":step": text(wait.step_id)}


def _pauses_partition(event_name: str, index: str) -> str:
    return f"p#{index}#{in_key(event_name)}"


def _pause_sk(run_id: str, pause_id: str) -> str:
    return f"{run_id}#{pause_id}"


def _pause_key(key: PauseKey) -> Key:
    return key_of(_pauses_partition(key.event_name, key.filed_under), _pause_sk(key.run_id, key.pause_id))


def _pauses_of(shape: str, event_name: str, index: str, items: Sequence[Item]) -> list[Pause]:
    return [_read_pause(event_name, index, item) for item in items if item[_SHAPE]["S"] == shape]


def _read_pause(event_name: str, index: str, item: Item) -> Pause:
    run_id, _, pause_id = item[SK]["S"].partition("#")
    document = decompress(bytes(item[_DOCUMENT]["B"]))
    return read_pause(PauseKey(event_name, index, run_id, pause_id), item[_SHAPE]["S"], document)


def _shapes_partition(event_name: str) -> str:
    return f"q#{in_key(event_name)}"


def _signal_key(name: str) -> Key:
    return key_of(f"g#{in_key(name)}", "g")


def _digest(shape: str) -> str:
    """A shape lists paths as long as an expression: too long for a key."""
    return hashlib.blake2b(shape.encode(), digest_size=16).hexdigest()


def _forgotten_after(expires_at_ms: int) -> Value:
    return number((expires_at_ms + TTL_MARGIN_MS) // SECOND_MS)
