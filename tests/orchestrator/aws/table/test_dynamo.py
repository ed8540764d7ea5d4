from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stepwell_orchestrator.aws.attribute_values import number, text
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.aws.table.dynamo import ConditionFailed, Delete, Put, Range, Table, Update, key_of
from stepwell_orchestrator.errors import StoreError
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import Fault, conflict_in_transaction, refused

ABSENT = "attribute_not_exists(pk)"
KEY = key_of("k", "k")


@pytest.fixture
def table(bed: Bed) -> Table:
    return Table(bed.services().dynamodb, bed.names.table)


def a_put(sk: str = "k", **more: Any) -> Put:
    return Put({**key_of("k", sk), **more}, ABSENT)


@pytest.mark.parametrize(
    "fault",
    [
        refused("TransactionConflictException"),
        refused("TransactionInProgressException"),
    ],
    ids=["conflict", "in progress"],
)
async def test_a_call_that_meets_a_transaction_is_made_again(bed: Bed, table: Table, fault: Fault):
    """Another one's transaction at the same item passes, a few times over; one that stays is an error."""
    bed.dynamodb.plan("put_item", *[fault] * 4)
    await table.do(a_put())
    assert bed.dynamodb.count("put_item") == 5
    bed.dynamodb.plan("put_item", *[fault] * 5)
    with pytest.raises(AwsError, match="injected"):
        await table.do(a_put("other"))


async def test_a_transaction_that_meets_another_is_made_again(bed: Bed, table: Table):
    """A transaction that was cancelled for another's sake is made again under the same token."""
    bed.dynamodb.plan("transact_write_items", *[conflict_in_transaction(2)] * 4)
    await table.transact([a_put("a"), a_put("b")], "token")
    tokens = [parameters["ClientRequestToken"] for name, parameters in bed.dynamodb.calls if name.startswith("trans")]
    assert tokens == ["token"] * 5
    bed.dynamodb.plan("transact_write_items", *[conflict_in_transaction(2)] * 5)
    with pytest.raises(AwsError, match="TransactionCanceled"):
        await table.transact([a_put("c"), a_put("d")], "other")


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"]
)
async def test_a_throttled_call_is_not_made_again_here(bed: Bed, table: Table, code: str):
    """The client library has repeated it often enough: the error says so, and the work is left to a redelivery."""
    bed.dynamodb.plan("put_item", refused(code))
    with pytest.raises(AwsError) as raised:
        await table.do(a_put())
    assert raised.value.throttled
    assert bed.dynamodb.count("put_item") == 1


async def test_a_throttled_transaction_is_not_refused(bed: Bed, table: Table):
    """A transaction that was cancelled for want of throughput is an error, not the answer that a condition failed."""
    reasons = [{"Code": "ThrottlingError"}, {"Code": "None"}]
    bed.dynamodb.plan("transact_write_items", refused("TransactionCanceledException", CancellationReasons=reasons))
    with pytest.raises(AwsError, match="TransactionCanceled"):
        await table.transact([a_put("a"), a_put("b")], "token")


async def test_a_failed_condition_tells_more_than_a_conflict(bed: Bed, table: Table):
    """A transaction with a condition that failed is refused, whatever else it met."""
    reasons = [{"Code": "TransactionConflict"}, {"Code": "ConditionalCheckFailed", "Item": KEY}]
    bed.dynamodb.plan("transact_write_items", refused("TransactionCanceledException", CancellationReasons=reasons))
    with pytest.raises(ConditionFailed) as raised:
        await table.transact([a_put("a"), a_put("b")], "token")
    assert raised.value.olds == {1: KEY}


async def test_a_refused_action_has_the_item_as_it_was_found(table: Table):
    """A failed condition is told with the old item, or that there is none, alone and in a transaction."""
    await table.do(a_put(n=number(1)))
    held = {**KEY, "n": number(1)}
    with pytest.raises(ConditionFailed) as alone:
        await table.do(a_put())
    assert alone.value.old == held
    with pytest.raises(ConditionFailed) as nothing:
        await table.do(Update(key_of("x", "x"), "SET n = :n", "attribute_exists(pk)", {":n": number(2)}))
    assert nothing.value.old is None
    with pytest.raises(ConditionFailed) as several:
        await table.transact([a_put("b"), a_put(), Delete(key_of("x", "x"), "attribute_exists(pk)")], "token")
    assert several.value.olds == {1: held, 2: None}


async def test_an_unanswered_part_of_a_batch_is_asked_for_again(bed: Bed, table: Table):
    """Keys that a batch left out are asked for until all are answered, as long as some are each time."""
    keys = [key_of("k", str(n)) for n in range(7)]
    for n in range(7):
        await table.do(a_put(str(n)))
    bed.dynamodb.plan("batch_get_item", *[answering(bed, 1)] * 6)
    items = await table.get_many(keys)
    assert sorted(item["sk"]["S"] for item in items) == [str(n) for n in range(7)]
    assert bed.dynamodb.count("batch_get_item") == 7


async def test_a_batch_without_an_answer_is_an_error(bed: Bed, table: Table):
    """A service that answers nothing any more is given up after a few tries."""
    bed.dynamodb.plan("batch_get_item", *[answering(bed, 0)] * 5)
    with pytest.raises(StoreError, match="no answer to 1 of the items"):
        await table.get_many([KEY])
    assert bed.dynamodb.count("batch_get_item") == 5


async def test_a_batch_may_name_any_number_of_items_and_any_twice(bed: Bed, table: Table):
    """More than a hundred keys are several batches, a key named twice is one, and none is no call."""
    for n in range(120):
        await table.do(a_put(str(n)))
    keys = [key_of("k", str(n)) for n in (*range(130), *range(130))]
    assert len(await table.get_many(keys)) == 120
    assert bed.dynamodb.count("batch_get_item") == 2
    assert await table.get_many([]) == []
    assert bed.dynamodb.count("batch_get_item") == 2


async def test_a_query_is_read_page_by_page(bed: Bed, table: Table):
    """All items of a range come in order, however many pages they take, and each page is consistent."""
    for n in range(5):
        await table.do(a_put(str(n)))
    wanted = Range("pk = :pk", {":pk": text("k")}, limit=2)
    assert [item["sk"]["S"] async for item in table.items(wanted)] == [str(n) for n in range(5)]
    queries = [parameters for name, parameters in bed.dynamodb.calls if name == "query"]
    assert [parameters["ConsistentRead"] for parameters in queries] == [True] * 3


def answering(bed: Bed, count: int) -> Fault:
    """A batch of which only the first keys are answered."""

    def fault(do: Callable[[], dict[str, Any]], _: str) -> dict[str, Any]:
        _, request = bed.dynamodb.calls[-1]
        name = bed.names.table
        asked = request["RequestItems"][name]["Keys"]
        response = do()
        answered = [key["sk"]["S"] for key in asked[:count]]
        response["Responses"][name] = [item for item in response["Responses"][name] if item["sk"]["S"] in answered]
        response["UnprocessedKeys"] = {name: {"Keys": asked[count:]}}
        return response

    return fault
