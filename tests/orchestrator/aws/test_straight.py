from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.orchestrator.aws.bed import a_bed

KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}
ITEM = {
    **KEY,
    "d": {"B": b"\x00bytes"},
    "l": {"S": "shard"},
    "e": {"L": [{"S": "one"}, {"B": b"two"}]},
    "n": {"N": "1"},
}
ABSENT = {"ConditionExpression": "attribute_not_exists(pk)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
OTHER = {**KEY, "sk": {"S": "t"}}
UPDATE = {
    "Key": KEY,
    "UpdateExpression": "SET n = n + :one, u = if_not_exists(u, :one) REMOVE l",
    "ExpressionAttributeValues": {":one": {"N": "1"}},
}
PARTITION = {
    "KeyConditionExpression": "pk = :pk AND sk > :sk",
    "ExpressionAttributeValues": {":pk": KEY["pk"], ":sk": {"S": "r"}},
}
SHARD = {
    "IndexName": "listing",
    "KeyConditionExpression": "l = :l",
    "ExpressionAttributeValues": {":l": {"S": "shard"}},
}
PRESENT = {"ConditionExpression": "attribute_exists(l)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
COSTS = ("ConsumedCapacity", "ConsumedCapacityUnits", "ItemCollectionMetrics")
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("put_item", {"Item": ITEM, **ABSENT}),
    ("put_item", {"Item": ITEM, **ABSENT}),
    ("put_item", {"Item": {**ITEM, **OTHER}}),
    ("get_item", {"Key": KEY, "ConsistentRead": True}),
    ("get_item", {"Key": {**KEY, "sk": {"S": "none"}}}),
    ("query", {**PARTITION, "ConsistentRead": True}),
    ("query", {**PARTITION, "Limit": 1}),
    ("query", {**PARTITION, "Limit": 1, "ExclusiveStartKey": KEY}),
    ("query", {**PARTITION, "ScanIndexForward": False}),
    ("query", SHARD),
    ("update_item", {**UPDATE, "ReturnValues": "ALL_NEW"}),
    ("update_item", {**UPDATE, **PRESENT}),
    ("delete_item", {"Key": OTHER, "ConditionExpression": "attribute_exists(pk)", "ReturnValues": "ALL_OLD"}),
    ("delete_item", {"Key": OTHER, "ConditionExpression": "attribute_exists(pk)"}),
]


@pytest.mark.parametrize("transactions", [False, True])
def test_the_short_way_leads_to_the_same(transactions: bool):
    """DynamoDB answers the same calls the same by way of botocore and without it, refusals and bytes included."""
    answers = []
    for straight in (False, True):
        with a_bed(straight=straight) as bed:
            calls = [(operation, {"TableName": bed.names.table, **parameters}) for operation, parameters in CALLS]
            calls = _in_transactions(calls) if transactions else calls
            told = [_told(bed.dynamodb, operation, parameters) for operation, parameters in calls]
            answers.append([repr(one).replace(bed.names.table, "table") for one in told])
    assert answers[0] == answers[1]


def _in_transactions(calls: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """The writes among calls, each beside another one; after each all that was asked for."""
    table = calls[0][1]["TableName"]
    kinds = {"put_item": "Put", "update_item": "Update", "delete_item": "Delete"}
    read = {table: {"Keys": [KEY, OTHER], "ConsistentRead": True}}
    found: list[tuple[str, dict[str, Any]]] = []
    for number, (operation, parameters) in enumerate(calls):
        if operation in kinds and "ReturnValues" not in parameters:
            beside = {"Put": {"TableName": table, "Item": {"pk": {"S": "beside"}, "sk": {"S": str(number)}}}}
            items = [{kinds[operation]: parameters}, beside]
            found.append(("transact_write_items", {"TransactItems": items, "ClientRequestToken": str(number)}))
            found.append(("batch_get_item", {"RequestItems": read}))
    deletion = {"DeleteRequest": {"Key": KEY}}
    return [*found, ("batch_write_item", {"RequestItems": {table: [deletion]}})]


def _told(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
    """What a call answers, or is refused with, but for metadata and wording; what it cost is not told alike."""
    try:
        answer = getattr(client, operation)(**parameters)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        return code, error.response.get("Item"), _without(error.response.get("CancellationReasons", ()), "Message")
    return [(name, answer[name]) for name in sorted(answer) if name not in ("ResponseMetadata", *COSTS)]


def _without(parts: Any, name: str) -> list[Any]:
    return [sorted((key, value) for key, value in part.items() if key != name) for part in parts]
