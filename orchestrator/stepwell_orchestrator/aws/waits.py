"""The Waits port on DynamoDB: pauses by what they ask for, the shapes of an event name, one waiter a signal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.aws.service import AwsError, Service
from stepwell_orchestrator.aws.table import PK, SK, TTL
from stepwell_orchestrator.documents import pause_document, read_pause
from stepwell_orchestrator.limits import EVENT_NAME_CHARS_MAX
from stepwell_orchestrator.model.pause import Pause, PauseKey
from stepwell_orchestrator.model.signal import SignalWait

Item = Mapping[str, Any]

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
        self._table = table
        self._known_shapes: set[tuple[str, str]] = set()

    async def put_pause(self, pause: Pause) -> None:
        """File a pause: its shape first, so that whoever sees the pause can find it."""
        await self._put_shape(pause.key.event_name, pause.shape)
        item = {
            **_pause_key(pause.key),
            _SHAPE: {"S": pause.shape},
            _DOCUMENT: {"B": pause_document(pause)},
            TTL: _forgotten_after(pause.expires_at_ms),
        }
        await self._dynamodb.call("put_item", TableName=self._table, Item=item)

    async def drop_pauses(self, keys: Sequence[PauseKey]) -> None:
        """Take pauses out; one that is not there is ignored."""
        rows = [_pause_key(key) for key in dict.fromkeys(keys)]
        if len(rows) == 1:
            await self._drop(rows[0])
            return
        for start in range(0, len(rows), _DELETES):
            deletions = [{"DeleteRequest": {"Key": row}} for row in rows[start : start + _DELETES]]
            reply = await self._dynamodb.call("batch_write_item", RequestItems={self._table: deletions})
            # What a batch leaves out was throttled: single calls are repeated, after a while, by the client library.
            for left in reply.get("UnprocessedItems", {}).get(self._table, ()):
                await self._drop(left["DeleteRequest"]["Key"])

    async def shapes(self, event_name: str) -> list[str]:
        """Every shape that pauses of an event name have, or have had."""
        query: dict[str, Any] = {
            "KeyConditionExpression": f"{PK} = :pk",
            "ExpressionAttributeValues": {":pk": _shapes_key(event_name)},
        }
        shapes: list[str] = []
        while True:
            reply = await self._query(query)
            shapes += [item[_SHAPE]["S"] for item in reply["Items"]]
            if "LastEvaluatedKey" not in reply:
                return shapes
            query["ExclusiveStartKey"] = reply["LastEvaluatedKey"]

    async def pauses(
        self, event_name: str, shape: str, index: str, *, after: PauseKey | None, limit: int
    ) -> list[Pause]:
        """The pauses filed under one index of one shape, ordered by key.

        Shapes share an index when their values are the same: those of others are read and left out.
        """
        start = PauseKey(event_name, index, "", "") if after is None else after
        query: dict[str, Any] = {
            "KeyConditionExpression": f"{PK} = :pk AND {SK} > :sk",
            "FilterExpression": f"{_SHAPE} = :shape",
            "ExpressionAttributeValues": {
                ":pk": {"S": _pauses_partition(event_name, index)},
                ":sk": {"S": _pause_place(start)},
                ":shape": {"S": shape},
            },
            "Limit": limit,
        }
        found: list[Pause] = []
        while True:
            reply = await self._query(query)
            found += [_read_pause(event_name, index, item) for item in reply["Items"]]
            if len(found) >= limit or "LastEvaluatedKey" not in reply:
                return found[:limit]
            query["ExclusiveStartKey"] = reply["LastEvaluatedKey"]

    async def take_signal(self, wait: SignalWait, *, replace: bool, now_ms: int) -> bool:
        """Become the waiter of a signal, unless another step is. A repeat after a lost reply finds itself."""
        item = {
            **_signal_key(wait.name),
            _RUN: {"S": wait.run_id},
            _STEP: {"S": wait.step_id},
            _EXPIRES: {"N": str(wait.expires_at_ms)},
            TTL: _forgotten_after(wait.expires_at_ms),
        }
        if replace:
            await self._dynamodb.call("put_item", TableName=self._table, Item=item)
            return True
        condition = {
            "ConditionExpression": f"attribute_not_exists({PK}) OR {_EXPIRES} <= :now OR {_IS_WAITER}",
            "ExpressionAttributeValues": {":now": {"N": str(now_ms)}, **_waiter(wait)},
        }
        return await self._if_it_holds("put_item", Item=item, **condition)

    async def get_signal(self, name: str) -> SignalWait | None:
        """Who waits for a signal."""
        reply = await self._dynamodb.call("get_item", TableName=self._table, Key=_signal_key(name), ConsistentRead=True)
        item = reply.get("Item")
        return None if item is None else SignalWait(name, item[_RUN]["S"], item[_STEP]["S"], int(item[_EXPIRES]["N"]))

    async def drop_signal(self, wait: SignalWait) -> None:
        """Stop waiting, unless another step is the waiter by now."""
        condition = {"ConditionExpression": _IS_WAITER, "ExpressionAttributeValues": _waiter(wait)}
        await self._if_it_holds("delete_item", Key=_signal_key(wait.name), **condition)

    async def _put_shape(self, event_name: str, shape: str) -> None:
        """Shapes are never forgotten, so one write of this process is enough."""
        if (event_name, shape) in self._known_shapes:
            return
        item = {PK: _shapes_key(event_name), SK: {"S": _digest(shape)}, _SHAPE: {"S": shape}}
        await self._dynamodb.call("put_item", TableName=self._table, Item=item)
        if len(self._known_shapes) >= _KNOWN_SHAPES_MAX:
            self._known_shapes.clear()
        self._known_shapes.add((event_name, shape))

    async def _drop(self, key: Item) -> None:
        await self._dynamodb.call("delete_item", TableName=self._table, Key=key)

    async def _query(self, query: Mapping[str, Any]) -> dict[str, Any]:
        return await self._dynamodb.call("query", TableName=self._table, ConsistentRead=True, **query)

    async def _if_it_holds(self, operation: str, **parameters: Any) -> bool:
        """Write on a condition; whether it held."""
        try:
            await self._dynamodb.call(operation, TableName=self._table, **parameters)
        except AwsError as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            return False
        return True


_IS_WAITER: Final = f"({_RUN} = :run AND {_STEP} = :step)"


def _waiter(wait: SignalWait) -> dict[str, Any]:
    return {":run": {"S": wait.run_id}, ":step": {"S": wait.step_id}}


def _pauses_partition(event_name: str, index: str) -> str:
    return f"p#{index}#{_short(event_name)}"


def _pause_place(key: PauseKey) -> str:
    return f"{key.run_id}#{key.pause_id}"


def _pause_key(key: PauseKey) -> dict[str, Any]:
    return {PK: {"S": _pauses_partition(key.event_name, key.filed_under)}, SK: {"S": _pause_place(key)}}


def _read_pause(event_name: str, index: str, item: Item) -> Pause:
    run_id, _, pause_id = item[SK]["S"].partition("#")
    return read_pause(PauseKey(event_name, index, run_id, pause_id), item[_SHAPE]["S"], item[_DOCUMENT]["B"])


def _shapes_key(event_name: str) -> dict[str, Any]:
    return {"S": f"q#{_short(event_name)}"}


def _signal_key(name: str) -> dict[str, Any]:
    return {PK: {"S": f"g#{name}"}, SK: {"S": "g"}}


def _short(event_name: str) -> str:
    """A name as part of a key. An app may ask for one that is too long for any event, and would not fit."""
    return event_name if len(event_name) <= EVENT_NAME_CHARS_MAX else f"~{_digest(event_name)}"


def _digest(text: str) -> str:
    """A shape lists paths as long as an expression: too long for a key."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _forgotten_after(expires_at_ms: int) -> dict[str, Any]:
    return {"N": str((expires_at_ms + TTL_MARGIN_MS) // SECOND_MS)}
