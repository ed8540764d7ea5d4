"""The ledger: what the calls to AWS add up to, by service and operation, in what is paid for.

DynamoDB's units are reckoned from the items (``capacity``), not taken from what it answers: an emulator answers nothing
of use. An update is charged by the item before and after it, so the ledger keeps what it saw of each item, and looks at
the table once after an update, past the meter. It is right as long as it sees every write, one at a time: that is so in
one process whose calls are carried in place. It is meant for that, not for a deployment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from stepwell_orchestrator.aws.attribute_values import Item, Key
from stepwell_orchestrator.aws.table.sizes import item_bytes
from stepwell_orchestrator.aws.table.table import PK, SCHEMA, SK
from stepwell_orchestrator.costing.capacity import index_write_units, indexes_of, read_units, stored_bytes, write_units

CHUNK_BYTES: Final = 64 * 1024
"""SQS charges a request for each of these that has begun."""
_REFUSED: Final = "ConditionalCheckFailedException"
_CANCELLED: Final = "TransactionCanceledException"

Look = Callable[[str, Key], Item | None]
"""Reads one item of a table, past the meter."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What some calls add up to. ``chunks`` are the requests that SQS charges; ``data_bytes`` what was carried."""

    requests: float = 0
    write_units: float = 0
    read_units: float = 0
    chunks: float = 0
    data_bytes: float = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))

    def __sub__(self, other: Usage) -> Usage:
        return self + other * -1

    def __mul__(self, factor: float) -> Usage:
        return Usage(*(getattr(self, part.name) * factor for part in fields(self)))


Usages = Mapping[tuple[str, str], Usage]
"""By service and operation, spelled as boto3 does."""


class Ledger:
    """A Meter. ``look`` reads an item of the table."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._indexes = indexes_of(SCHEMA)
        self._usages: dict[tuple[str, str], Usage] = {}
        self._seen: dict[tuple[str, str], Item | None] = {}

    def take(self) -> dict[tuple[str, str], Usage]:
        """What was counted since the last time."""
        taken, self._usages = self._usages, {}
        return taken

    def add(self, service: str, operation: str, usage: Usage) -> None:
        """Count what AWS does by itself."""
        key = (service, operation)
        self._usages[key] = self._usages.get(key, Usage()) + usage

    def stored_bytes(self) -> int:
        """What the items seen so far take of the table's storage."""
        return sum(stored_bytes(item, self._indexes) for item in self._seen.values() if item is not None)

    def count(self, service: str, operation: str, parameters: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        """One call."""
        code = response.get("Error", {}).get("Code")
        match service:
            case "dynamodb":
                usage = self._of_table(operation, parameters, response, code)
            case "sqs":
                usage = _of_queue(parameters)
            case "s3":
                body = parameters.get("Body", response.get("Body", b""))
                usage = Usage(data_bytes=len(body))
            case "lambda":
                usage = Usage(data_bytes=len(parameters["Payload"]) + len(response.get("Payload", b"")))
            case _:
                usage = Usage()
        self.add(service, operation, Usage(requests=1) + usage)

    def _of_table(
        self, operation: str, parameters: Mapping[str, Any], response: Mapping[str, Any], code: str | None
    ) -> Usage:
        if code not in (None, _REFUSED, _CANCELLED):
            return Usage()
        match operation:
            case "get_item":
                return _read([[response["Item"]] if "Item" in response else []], parameters)
            case "query":
                return _read([response["Items"]], parameters)
            case "batch_get_item":
                return _sum(self._batch_read(table, asked, response) for table, asked in _requests(parameters))
            case "batch_write_item":
                return _sum(
                    self._write(table, *_batched(request), done=True)
                    for table, requests in _requests(parameters)
                    for request in requests
                )
            case "transact_write_items":
                writes = (next(iter(item.items())) for item in parameters["TransactItems"])
                return _sum(
                    self._write(action["TableName"], f"{kind.lower()}_item", _of(action), done=code is None, times=2)
                    for kind, action in writes
                )
            case "put_item" | "update_item" | "delete_item":
                return self._write(parameters["TableName"], operation, _of(parameters), done=code is None)
            case _:
                return Usage()

    def _batch_read(self, table: str, asked: Mapping[str, Any], response: Mapping[str, Any]) -> Usage:
        """Each item is rounded up alone, and so is each that is missing; those left unread are asked for again."""
        found = [[item] for item in response["Responses"].get(table, ())]
        left = response.get("UnprocessedKeys", {}).get(table, {}).get("Keys", ())
        missing: list[list[Item]] = [[]] * (len(asked["Keys"]) - len(left) - len(found))
        return _read([*found, *missing], asked)

    def _write(self, table: str, operation: str, item: Item, *, done: bool, times: int = 1) -> Usage:
        """A write of an item, or to the item of a key. The table charges it ``times``, its indexes follow once."""
        key = (item[PK]["S"], item[SK]["S"])
        # What was never seen was not there.
        before = self._seen.get(key)
        after = item if operation == "put_item" else None
        if not done:
            return Usage(write_units=times * write_units(before, after), data_bytes=item_bytes(item))
        if operation == "update_item":
            after = self._look(table, item)
        self._seen[key] = after
        units = times * write_units(before, after)
        units += sum(index_write_units(index, before, after) for index in self._indexes)
        return Usage(write_units=units, data_bytes=item_bytes(after or item))


def _of(action: Mapping[str, Any]) -> Item:
    """What an action is about: the item, or its key."""
    item: Item = action["Item"] if "Item" in action else action["Key"]
    return item


def _read(parts: Iterable[list[Item]], parameters: Mapping[str, Any]) -> Usage:
    """Each part is rounded up alone."""
    read = list(parts)
    consistent = bool(parameters.get("ConsistentRead"))
    return Usage(
        read_units=sum(read_units(part, consistent=consistent) for part in read),
        data_bytes=sum(item_bytes(item) for part in read for item in part),
    )


def _requests(parameters: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    requests: Mapping[str, Any] = parameters["RequestItems"]
    return requests.items()


def _batched(request: Mapping[str, Any]) -> tuple[str, Item]:
    if "PutRequest" in request:
        return "put_item", request["PutRequest"]["Item"]
    return "delete_item", request["DeleteRequest"]["Key"]


def _of_queue(parameters: Mapping[str, Any]) -> Usage:
    return queue_usage(sum(len(entry.get("MessageBody", "").encode()) for entry in parameters.get("Entries", ())))


def queue_usage(data_bytes: int) -> Usage:
    """What SQS charges for one request that carries so much; the request itself is not in it."""
    return Usage(chunks=max(1, -(-data_bytes // CHUNK_BYTES)), data_bytes=data_bytes)


def _sum(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())
