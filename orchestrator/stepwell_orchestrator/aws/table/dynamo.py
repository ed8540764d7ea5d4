"""One DynamoDB table: reads that are consistent, writes on conditions, and what is told apart when they fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, assert_never

from stepwell_orchestrator.aws.attribute_values import Item, Key, Value, text
from stepwell_orchestrator.aws.service import AwsError, Service
from stepwell_orchestrator.aws.table.table import PK, SK
from stepwell_orchestrator.errors import StoreError

GET_MAX: Final = 100
"""Items that one batch may ask for."""
TRANSACTION_MAX: Final = 100
"""Actions that one transaction may have."""
_TRIES: Final = 5
"""How often a call is made that met another one's transaction, and an unanswered part of a batch is asked for."""

_CONFLICTS: Final = frozenset({"TransactionConflictException", "TransactionInProgressException"})
_CONDITION_FAILED: Final = "ConditionalCheckFailed"


@dataclass(frozen=True, slots=True)
class Put:
    """Write an item, whole."""

    item: Item
    condition: str | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Update:
    """Change an item, or make it: ``change`` is an update expression."""

    key: Key
    change: str
    condition: str | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an item."""

    key: Key
    condition: str | None = None
    values: Mapping[str, Value] = field(default_factory=dict)


Action = Put | Update | Delete


class ConditionFailed(Exception):  # noqa: N818 (an answer, not an error)
    """Conditions did not hold and nothing was written.

    ``olds`` has the items as they were found (None: there is none) by the number of the action that was refused.
    """

    def __init__(self, olds: Mapping[int, Item | None]) -> None:
        super().__init__(f"the condition of action {', '.join(map(str, olds))} does not hold")
        self.olds = olds

    @property
    def old(self) -> Item | None:
        """The first refused item as it was found."""
        return next(iter(self.olds.values()))


@dataclass(frozen=True, slots=True)
class Page:
    """Some items, and where the next page starts (None: there is none)."""

    items: Sequence[Item]
    after: Key | None


@dataclass(frozen=True, slots=True)
class Range:
    """Items to query: a key condition, on an index or (None) on the table, in the order of the sort key."""

    condition: str
    values: Mapping[str, Value]
    index: str | None = None
    newest_first: bool = False
    limit: int | None = None
    """How many items a page has at most."""


class Table:
    """One table. Every method raises AwsError as ``Service`` does; an index is the only thing read inconsistently."""

    def __init__(self, dynamodb: Service, name: str) -> None:
        self._dynamodb = dynamodb
        self.name = name

    async def get(self, key: Key) -> Item | None:
        """One item."""
        response = await self._call("get_item", TableName=self.name, Key=key, ConsistentRead=True)
        return response.get("Item")

    async def get_many(self, keys: Iterable[Key]) -> list[Item]:
        """Those of the items that exist, in no order. Raises StoreError when some stay unanswered."""
        distinct = list({(key[PK]["S"], key[SK]["S"]): key for key in keys}.values())
        items: list[Item] = []
        for start in range(0, len(distinct), GET_MAX):
            items += await self._get_batch(distinct[start : start + GET_MAX])
        return items

    async def query(self, wanted: Range, after: Key | None = None) -> Page:
        """One page of items."""
        parameters: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": wanted.condition,
            "ExpressionAttributeValues": wanted.values,
            "ScanIndexForward": not wanted.newest_first,
        }
        parameters |= {"ConsistentRead": True} if wanted.index is None else {"IndexName": wanted.index}
        if wanted.limit is not None:
            parameters["Limit"] = wanted.limit
        if after is not None:
            parameters["ExclusiveStartKey"] = after
        response = await self._call("query", **parameters)
        return Page(response["Items"], response.get("LastEvaluatedKey"))

    async def items(self, wanted: Range) -> AsyncIterator[Item]:
        """All items, fetched page by page."""
        after = None
        while True:
            page = await self.query(wanted, after)
            for item in page.items:
                yield item
            if (after := page.after) is None:
                return

    async def do(self, action: Action, returning: Literal["NONE", "ALL_OLD", "ALL_NEW"] = "NONE") -> Item:
        """Do one action. Returns the item as ``returning`` says. Raises ConditionFailed."""
        operation, parameters = _spelled(self.name, action)
        try:
            response = await self._call(operation, **parameters, ReturnValues=returning)
        except AwsError as error:
            if error.code == "ConditionalCheckFailedException":
                raise ConditionFailed({0: error.response.get("Item")}) from error
            raise
        item: Item = response.get("Attributes", {})
        return item

    async def transact(self, actions: Sequence[Action], token: str) -> None:
        """Do all actions or none. Raises ConditionFailed when conditions do not hold.

        Done again under its ``token`` within ten minutes, a transaction that was done does nothing.
        """
        if len(actions) == 1:
            await self.do(actions[0])
            return
        kinds: dict[str, str] = {"put_item": "Put", "update_item": "Update", "delete_item": "Delete"}
        spelled = (_spelled(self.name, action) for action in actions)
        items = [{kinds[operation]: parameters} for operation, parameters in spelled]
        try:
            await self._call("transact_write_items", TransactItems=items, ClientRequestToken=token)
        except AwsError as error:
            reasons = error.response.get("CancellationReasons", ())
            refused = {n: reason.get("Item") for n, reason in enumerate(reasons) if reason["Code"] == _CONDITION_FAILED}
            if refused:
                raise ConditionFailed(refused) from error
            raise

    async def _get_batch(self, keys: Sequence[Key]) -> list[Item]:
        items: list[Item] = []
        tries = _TRIES
        while keys:
            request = {self.name: {"Keys": list(keys), "ConsistentRead": True}}
            response = await self._call("batch_get_item", RequestItems=request)
            items += response["Responses"].get(self.name, ())
            left = response.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", ())
            tries = _TRIES if len(left) < len(keys) else tries - 1
            if tries == 0:
                raise StoreError(f"dynamodb gave no answer to {len(left)} of the items asked for; try again later")
            keys = left
        return items

    async def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make a call, again when another transaction was at the same item at that moment."""
        for _ in range(_TRIES - 1):
            try:
                return await self._dynamodb.call(operation, **parameters)
            except AwsError as error:
                if not _met_a_transaction(error):
                    raise
        return await self._dynamodb.call(operation, **parameters)


def key_of(pk: str, sk: str) -> Key:
    """An item's key."""
    return {PK: text(pk), SK: text(sk)}


def _met_a_transaction(error: AwsError) -> bool:
    """Whether nothing but another transaction kept a call from being done."""
    codes = {reason["Code"] for reason in error.response.get("CancellationReasons", ())}
    return error.code in _CONFLICTS or (codes <= {"None", "TransactionConflict"} and "TransactionConflict" in codes)


def _spelled(table: str, action: Action) -> tuple[str, dict[str, Any]]:
    parameters: dict[str, Any]
    match action:
        case Put(item):
            operation, parameters = "put_item", {"Item": item}
        case Update(key, change):
            operation, parameters = "update_item", {"Key": key, "UpdateExpression": change}
        case Delete(key):
            operation, parameters = "delete_item", {"Key": key}
        case _:
            assert_never(action)
    parameters["TableName"] = table
    if action.condition is not None:
        parameters |= {
            "ConditionExpression": action.condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    if action.values:
        parameters["ExpressionAttributeValues"] = action.values
    return operation, parameters
