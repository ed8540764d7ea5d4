from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.orchestrator.aws.bed import Bed, a_bed
from tests.orchestrator.aws.strict import TRANSACTION_ITEMS_MAX

THREADS = 8
ROUNDS = 20


@pytest.fixture
def bed():
    with a_bed() as made:
        yield made


def counter(bed: Bed, condition: str | None = None) -> dict[str, Any]:
    """An update that counts."""
    update = {
        "TableName": bed.names.table,
        "Key": {"pk": {"S": "k"}, "sk": {"S": "k"}},
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    return update if condition is None else update | {"ConditionExpression": condition}


def put(bed: Bed, key: str, **more: Any) -> dict[str, Any]:
    """A put of an item that must not exist."""
    return {
        "TableName": bed.names.table,
        "Item": {"pk": {"S": key}, "sk": {"S": key}, **more},
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def stored(bed: Bed, key: str = "k") -> dict[str, Any] | None:
    """An item."""
    return bed.dynamodb.get_item(TableName=bed.names.table, Key={"pk": {"S": key}, "sk": {"S": key}}).get("Item")


def test_updates_at_once_are_all_counted(bed: Bed):
    """Updates from many threads lose nothing, alone and in transactions."""
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(ROUNDS):
            for _ in range(THREADS // 2):
                threads.submit(bed.dynamodb.update_item, **counter(bed))
                threads.submit(bed.dynamodb.transact_write_items, TransactItems=[{"Update": counter(bed)}])
    item = stored(bed)
    assert item is not None
    assert item["n"] == {"N": str(THREADS * ROUNDS)}


def test_a_transaction_under_its_token_again_does_nothing(bed: Bed):
    """A repeated token is answered as the first time, and another request under it is refused."""
    for _ in range(2):
        bed.dynamodb.transact_write_items(TransactItems=[{"Update": counter(bed)}], ClientRequestToken="one")
    item = stored(bed)
    assert item is not None
    assert item["n"] == {"N": "1"}
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        bed.dynamodb.transact_write_items(TransactItems=[{"Put": put(bed, "a")}], ClientRequestToken="one")


def test_a_refused_transaction_does_nothing_and_says_why(bed: Bed):
    """One condition that fails keeps everything out, and its old item comes back."""
    bed.dynamodb.put_item(**put(bed, "b", v={"B": b"\x00\xff"}))
    with pytest.raises(ClientError) as raised:
        bed.dynamodb.transact_write_items(
            TransactItems=[{"Put": put(bed, "a")}, {"Update": counter(bed)}, {"Put": put(bed, "b")}]
        )
    reasons = raised.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "None", "ConditionalCheckFailed"]
    assert reasons[2]["Item"]["v"] == {"B": b"\x00\xff"}
    assert (stored(bed, "a"), stored(bed)) == (None, None)


def test_a_transaction_that_fails_half_way_is_undone(bed: Bed):
    """An item that turns out too large takes back what was written before it."""
    bed.dynamodb.put_item(**put(bed, "k", n={"N": "5"}))
    too_large = {"Put": put(bed, "a", v={"S": "x" * 500_000})}
    with pytest.raises(ClientError):
        bed.dynamodb.transact_write_items(TransactItems=[{"Update": counter(bed)}, {"Put": put(bed, "b")}, too_large])
    assert (stored(bed, "a"), stored(bed, "b")) == (None, None)
    item = stored(bed)
    assert item is not None
    assert item["n"] == {"N": "5"}


@pytest.mark.parametrize("what", ["too many", "too large", "one item twice"])
def test_the_bounds_of_a_transaction_hold(bed: Bed, what: str):
    """What the service refuses outright is refused."""
    items = {
        "too many": [{"Put": put(bed, str(n))} for n in range(TRANSACTION_ITEMS_MAX + 1)],
        "too large": [{"Put": put(bed, str(n), v={"S": "x" * 300_000})} for n in range(14)],
        "one item twice": [{"Put": put(bed, "a")}, {"Put": put(bed, "a")}],
    }[what]
    with pytest.raises(ClientError, match="ValidationException"):
        bed.dynamodb.transact_write_items(TransactItems=items)
    assert stored(bed, "a") is None


def test_items_are_forgotten_when_their_time_is_up(bed: Bed):
    """Only items whose time has passed go, and only when asked."""
    for key, seconds in (("a", 10), ("b", 11)):
        bed.dynamodb.put_item(**put(bed, key, t={"N": str(seconds)}))
    bed.dynamodb.put_item(**put(bed, "c"))
    assert bed.expire(10_999) == 1
    assert [stored(bed, key) is None for key in "abc"] == [True, False, False]


def test_schedules_fire_once_by_hand(bed: Bed):
    """A one-time schedule is handed out when it is due, oldest first, and never again."""
    for name, second in (("late", 30), ("early", 10), ("later", 50)):
        bed.clients["scheduler"].create_schedule(
            Name=name,
            GroupName=bed.names.schedule_group,
            ScheduleExpression=f"at(2026-01-01T00:00:{second})",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={
                "Arn": bed.names.queue_arn,
                "RoleArn": bed.names.schedule_role_arn,
                "Input": name,
                "DeadLetterConfig": {"Arn": bed.names.dead_letter_queue_arn},
                "RetryPolicy": {"MaximumRetryAttempts": 0},
            },
            ActionAfterCompletion="DELETE",
        )
    at_ms = 1_767_225_600_000
    assert [fired.name for fired in bed.fire_schedules(at_ms + 30_000)] == ["early", "late"]
    assert [fired.name for fired in bed.fire_schedules(at_ms + 99_000)] == ["later"]


def test_beds_stand_side_by_side(bed: Bed):
    """What is in one deployment is not in another."""
    bed.dynamodb.put_item(**put(bed, "a"))
    with a_bed() as other:
        assert stored(other, "a") is None
    assert stored(bed, "a") is not None
