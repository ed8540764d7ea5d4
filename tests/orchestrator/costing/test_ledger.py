from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from stepwell_orchestrator.aws.service import AwsError, Service
from stepwell_orchestrator.aws.table.table import PK, SK
from stepwell_orchestrator.costing.ledger import Ledger, Usage
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import refused


class Counted:
    """A table whose calls are counted, each looked at alone."""

    def __init__(self, bed: Bed) -> None:
        client, self._table = bed.dynamodb.client, bed.names.table

        def look(table: str, item: Any) -> Any:
            return client.get_item(TableName=table, Key={PK: item[PK], SK: item[SK]}, ConsistentRead=True).get("Item")

        self.ledger = Ledger(look)
        services = bed.services(meter=self.ledger)
        self.dynamodb, self.sqs, self.s3 = services.dynamodb, services.sqs, services.s3

    async def units(self, operation: str, **parameters: Any) -> tuple[float, float]:
        """The write and read units of one call."""
        usage = await self.usage(self.dynamodb, operation, **self._named(operation, parameters))
        assert usage.requests == 1
        return usage.write_units, usage.read_units

    async def usage(self, service: Service, operation: str, **parameters: Any) -> Usage:
        """What one call adds."""
        with suppress(AwsError):
            await service.call(operation, **parameters)
        [(key, usage)] = self.ledger.take().items()
        assert key == (service.name, operation)
        return usage

    def _named(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if operation.startswith("batch"):
            return {"RequestItems": {self._table: parameters["requests"]}}
        if operation == "transact_write_items":
            actions = [{kind: {"TableName": self._table, **action}} for kind, action in parameters["actions"]]
            return {"TransactItems": actions}
        return {"TableName": self._table, **parameters}


@pytest.fixture
def counted(bed: Bed) -> Counted:
    """An empty one."""
    return Counted(bed)


def a_key(name: str) -> dict[str, Any]:
    return {PK: {"S": name}, SK: {"S": "s"}}


def an_item(name: str, size: int = 100, **more: Any) -> dict[str, Any]:
    """An item of that many bytes, and what more is given."""
    item = {**a_key(name), "d": {"B": b""}}
    return {**item, "d": {"B": b"x" * (size - len(name) - 6)}, **more}


LISTED = {"l": {"S": "r0"}, "c": {"N": "1"}}
ABSENT = {"ConditionExpression": "attribute_not_exists(pk)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


async def test_puts(counted: Counted):
    """A put is charged by its size, its index, and what it replaces."""
    assert await counted.units("put_item", Item=an_item("a", 1024)) == (1, 0)
    assert await counted.units("put_item", Item=an_item("b", 1025)) == (2, 0)
    assert await counted.units("put_item", Item=an_item("b", 10)) == (2, 0)
    assert await counted.units("put_item", Item=an_item("c", 10, **LISTED)) == (2, 0)
    assert await counted.units("put_item", Item=an_item("c", 10, **LISTED)) == (1, 0)
    assert await counted.units("put_item", Item=an_item("c", 10)) == (2, 0)


async def test_a_refused_put_is_charged_too(counted: Counted):
    """A condition that fails costs what the larger of the two items would, and leaves what was there."""
    await counted.units("put_item", Item=an_item("a", 3000))
    assert await counted.units("put_item", Item=an_item("a", 10), **ABSENT) == (3, 0)
    assert await counted.units("put_item", Item=an_item("a", 5000), **ABSENT) == (5, 0)
    assert await counted.units("delete_item", Key=a_key("a")) == (3, 0)


def an_update(change: str, **values: Any) -> dict[str, Any]:
    return {
        "Key": a_key("h"),
        "UpdateExpression": change,
        **({"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}} if values else {}),
    }


async def test_updates_are_charged_by_the_item_before_and_after(counted: Counted):
    """An update costs its whole item; taking, prolonging and freeing a lease writes the index once, twice and once."""
    await counted.units("put_item", Item=an_item("h", 900))
    take = an_update("SET x = :x, u = :u", x={"S": "x0"}, u={"N": "5"})
    assert await counted.units("update_item", **take) == (2, 0)
    assert await counted.units("update_item", **an_update("SET u = :u", u={"N": "6"})) == (3, 0)
    assert await counted.units("update_item", **an_update("REMOVE x, u")) == (2, 0)
    grow = an_update("SET e = :e", e={"B": b"y" * 2000})
    assert await counted.units("update_item", **grow) == (3, 0)
    assert await counted.units("update_item", **an_update("REMOVE e")) == (3, 0)
    assert await counted.units("update_item", **an_update("REMOVE e")) == (1, 0)


async def test_deletes(counted: Counted):
    """A deletion costs what was there, and one unit when there was nothing."""
    await counted.units("put_item", Item=an_item("a", 2000, **LISTED))
    assert await counted.units("delete_item", Key=a_key("a")) == (3, 0)
    assert await counted.units("delete_item", Key=a_key("a")) == (1, 0)


async def test_transactions_are_charged_twice_and_their_indexes_once(counted: Counted):
    """Each action of a transaction costs double, whether it is done or cancelled."""
    actions = [("Put", {"Item": an_item("a", 10, **LISTED)}), ("Put", {"Item": an_item("b", 1500), **ABSENT})]
    assert await counted.units("transact_write_items", actions=actions) == (2 + 1 + 4, 0)
    assert await counted.units("transact_write_items", actions=actions) == (2 + 4, 0)
    update = {"Key": a_key("b"), "UpdateExpression": "REMOVE d"}
    assert await counted.units("transact_write_items", actions=[("Update", update)]) == (4, 0)
    assert await counted.units("delete_item", Key=a_key("b")) == (1, 0)


async def test_batches_are_charged_item_by_item(counted: Counted):
    """Items of a batch are rounded up one by one, the missing ones too."""
    for name in "abc":
        await counted.units("put_item", Item=an_item(name, 1500))
    keys = {"Keys": [a_key(name) for name in "abx"], "ConsistentRead": True}
    assert await counted.units("batch_get_item", requests=keys) == (0, 3)
    assert await counted.units("batch_get_item", requests={"Keys": keys["Keys"]}) == (0, 1.5)
    deletions = [{"DeleteRequest": {"Key": a_key(name)}} for name in "ax"]
    assert await counted.units("batch_write_item", requests=deletions) == (3, 0)
    assert await counted.units("delete_item", Key=a_key("a")) == (1, 0)


async def test_what_a_batch_leaves_unread_is_charged_when_it_is_read(counted: Counted, bed: Bed):
    """Keys that come back unread cost nothing yet, those that are missing do."""

    def half(*_: Any) -> dict[str, Any]:
        left = {bed.names.table: {"Keys": [a_key("b"), a_key("c")]}}
        return {"Responses": {bed.names.table: [an_item("a", 5000)]}, "UnprocessedKeys": left}

    bed.dynamodb.plan("batch_get_item", half)
    keys = {"Keys": [a_key(name) for name in "abcx"], "ConsistentRead": True}
    assert await counted.units("batch_get_item", requests=keys) == (0, 2 + 1)


async def test_reads(counted: Counted):
    """A get and a query cost what they read, half when they need not be consistent, one when they find nothing."""
    for number in range(5):
        await counted.units("put_item", Item={**an_item("a", 1000), SK: {"S": str(number)}, **LISTED})
    one = {PK: {"S": "a"}, SK: {"S": "0"}}
    assert await counted.units("get_item", Key=one, ConsistentRead=True) == (0, 1)
    assert await counted.units("get_item", Key=one) == (0, 0.5)
    assert await counted.units("get_item", Key=a_key("none"), ConsistentRead=True) == (0, 1)
    query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": "a"}}}
    assert await counted.units("query", **query, ConsistentRead=True) == (0, 2)
    assert await counted.units("query", **query, ConsistentRead=True, Limit=4) == (0, 1)
    listing = {"KeyConditionExpression": "l = :l", "ExpressionAttributeValues": {":l": {"S": "r0"}}}
    assert await counted.units("query", **listing, IndexName="listing") == (0, 0.5)


async def test_what_is_throttled_costs_a_request_and_no_unit(bed: Bed):
    """A call that the service refused for other reasons than its condition consumes nothing."""
    bed.dynamodb.plan("put_item", refused("ProvisionedThroughputExceededException"))
    assert await Counted(bed).units("put_item", Item=an_item("a")) == (0, 0)


@pytest.mark.parametrize(("sizes", "chunks"), [([1], 1), ([65_536], 1), ([65_537], 2), ([6_554] * 10, 2)])
async def test_sqs_charges_a_request_for_each_64_kib(counted: Counted, bed: Bed, sizes: list[int], chunks: int):
    """A batch is one request for each 64 KiB of all its messages that have begun."""
    entries = [{"Id": str(number), "MessageBody": "x" * size} for number, size in enumerate(sizes)]
    usage = await counted.usage(counted.sqs, "send_message_batch", QueueUrl=bed.names.queue_url, Entries=entries)
    assert (usage.requests, usage.chunks, usage.data_bytes) == (1, chunks, sum(sizes))


async def test_objects_are_counted_by_their_bytes(counted: Counted, bed: Bed):
    """What is put into the bucket and got from it is counted in bytes both ways."""
    place = {"Bucket": bed.names.bucket, "Key": "k"}
    for operation, parameters in (("put_object", {"Body": b"12345"}), ("get_object", {})):
        usage = await counted.usage(counted.s3, operation, **place, **parameters)
        assert (usage.requests, usage.data_bytes) == (1, 5)
