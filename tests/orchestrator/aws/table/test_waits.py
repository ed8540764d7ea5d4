from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends

from stepwell.wire.times import DAY_MS
from stepwell_orchestrator.aws.service import AwsError, Service, inline
from stepwell_orchestrator.aws.table.names import in_key
from stepwell_orchestrator.aws.table.waits import TTL_MARGIN_MS, DynamoWaits
from stepwell_orchestrator.engine.waits.matching import file_under, index_in
from stepwell_orchestrator.limits import EVENT_NAME_CHARS_MAX, PAUSE_PAGE
from stepwell_orchestrator.model.pause import Pause, PauseKey
from tests.conformance.samples import NOW_MS, UNTIL_MS, a_pause, a_signal_wait, run_id
from tests.orchestrator.aws import strict
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import Fault, lost_reply, refused, repeated

NAME, SHAPE = "order/paid", a_pause().shape
LONGEST_NAME = "𝄞" * EVENT_NAME_CHARS_MAX


@pytest.fixture
def waits(bed: Bed) -> DynamoWaits:
    return bed.backend().waits


async def found(waits: DynamoWaits, *, name: str = NAME, shape: str = SHAPE, limit: int = 100) -> list[Pause]:
    """Everything under one index."""
    return await waits.pauses(name, shape, "i", after=None, limit=limit)


def calls(bed: Bed) -> list[str]:
    """What was asked of the table."""
    return [name for name, _ in bed.dynamodb.calls]


async def test_a_shape_is_written_first_and_once_in_a_process(bed: Bed, waits: DynamoWaits):
    """The first pause of a shape takes two writes, the shape's first; the next take one, in each process."""
    for process in (waits, bed.backend().waits):
        bed.dynamodb.calls.clear()
        for number in (1, 2, 3):
            await process.put_pause(a_pause(number))
        assert calls(bed) == ["put_item"] * 4
        first = bed.dynamodb.calls[0][1]["Item"]
        assert (first["pk"]["S"], first["s"]["S"]) == (f"q#{NAME}", SHAPE)


async def test_without_its_shape_no_pause_is_filed(bed: Bed, waits: DynamoWaits):
    """When the shape cannot be written neither is the pause, and filing it again writes both."""
    bed.dynamodb.plan("put_item", refused("ThrottlingException"))
    with pytest.raises(AwsError) as error:
        await waits.put_pause(a_pause())
    assert error.value.throttled
    assert (await waits.shapes(NAME), await found(waits)) == ([], [])
    await waits.put_pause(a_pause())
    assert (await waits.shapes(NAME), await found(waits)) == ([SHAPE], [a_pause()])


async def test_a_pause_whose_reply_is_lost_can_be_filed_again(bed: Bed, waits: DynamoWaits):
    """A pause whose filing failed for the caller, or was done twice, is filed once."""
    bed.dynamodb.plan("put_item", repeated, lost_reply)
    with pytest.raises(AwsError):
        await waits.put_pause(a_pause())
    await waits.put_pause(a_pause())
    assert await found(waits) == [a_pause()]


async def test_the_longest_names_and_shapes_fit(waits: DynamoWaits):
    """Names of 255 characters of four bytes, and shapes as long as an expression, can be waited on."""
    shape = json.dumps([["data", "x" * 4_000]])
    index = "0" * 24
    pause = a_pause(name=LONGEST_NAME, index=index, shape=shape, pause_id="s" * 40, expression="𝄞" * 4_096)
    await waits.put_pause(pause)
    assert await waits.shapes(LONGEST_NAME) == [shape]
    assert await waits.pauses(LONGEST_NAME, shape, index, after=None, limit=9) == [pause]
    assert await waits.shapes(LONGEST_NAME[:-1]) == []
    signal = a_signal_wait(name=LONGEST_NAME)
    assert await waits.take_signal(signal, replace=False, now_ms=NOW_MS)
    assert await waits.get_signal(LONGEST_NAME) == signal


@pytest.mark.parametrize("length", [0, 1, 224, 225, 226, 255, 900, 901, 10**6])
@pytest.mark.parametrize("character", ["x", "é", "𝄞"])
def test_a_name_in_a_key_is_bounded_and_its_own(character: str, length: int):
    """However long a name is, a key has room for it, and no other name is spelled that way in a key."""
    name = character * length
    spelled = in_key(name)
    assert len(spelled.encode()) <= 950
    assert (spelled == name) is (len(name.encode()) <= 900)
    others = {name + "x", name + "y", "z" + name, spelled} - {name}
    assert len({in_key(other) for other in others} | {spelled}) == len(others) + 1


async def test_an_ordinary_wait_takes_one_write_unit(bed: Bed, waits: DynamoWaits):
    """A pause with an expression of some length, and those of its run's waits before excluded, is below a kilobyte."""
    expression = "event.data.order_id == async.data.order_id && async.data.amount >= 100 && async.user.plan == 'pro'"
    await waits.put_pause(a_pause(expression=expression, excluded=tuple(run_id(number) for number in range(10))))
    item = bed.dynamodb.calls[-1][1]["Item"]
    size = sum(len(name) + len(value.get("B", str(value).encode())) for name, value in item.items())
    assert size <= 1_024


async def test_other_shapes_under_one_index_are_read_over(waits: DynamoWaits):
    """A page is full although pauses of other shapes with the same values lie in between."""
    for number in range(1, 31):
        await waits.put_pause(a_pause(number, shape=SHAPE if number % 10 == 0 else '[["data","other"]]'))
    assert await found(waits, limit=2) == [a_pause(10), a_pause(20)]
    rest = await waits.pauses(NAME, SHAPE, "i", after=a_pause(20).key, limit=2)
    assert rest == [a_pause(30)]


async def test_a_page_may_end_where_dynamodb_ends_it(bed: Bed, waits: DynamoWaits):
    """When DynamoDB answers with less than was asked for, the rest is read too."""
    pauses = [a_pause(number) for number in range(1, 8)]
    for pause in pauses:
        await waits.put_pause(pause)

    def at_most(count: int) -> Fault:
        return lambda *_: bed.dynamodb.client.query(**bed.dynamodb.calls[-1][1] | {"Limit": count})

    bed.dynamodb.plan("query", at_most(1), at_most(3))
    assert await found(waits) == pauses


async def test_all_reads_are_consistent(bed: Bed, waits: DynamoWaits):
    """Whoever looks for waits sees every write that returned before."""
    await waits.shapes(NAME)
    await found(waits)
    await waits.get_signal("approve")
    assert [(name, parameters["ConsistentRead"]) for name, parameters in bed.dynamodb.calls] == [
        ("query", True),
        ("query", True),
        ("get_item", True),
    ]


def left_undone(bed: Bed, count: int) -> Fault:
    """DynamoDB leaves the first ``count`` writes of a batch undone."""

    def fault(*_: Any) -> dict[str, Any]:
        table = bed.names.table
        requests = bed.dynamodb.calls[-1][1]["RequestItems"][table]
        bed.dynamodb.client.batch_write_item(RequestItems={table: requests[count:]})
        return {"UnprocessedItems": {table: requests[:count]}}

    return fault


async def test_what_a_batch_leaves_undone_is_dropped_one_by_one(bed: Bed, waits: DynamoWaits):
    """Pauses are dropped 25 at once; those that DynamoDB leaves undone are dropped all the same."""
    pauses = [a_pause(number) for number in range(1, 61)]
    for pause in pauses:
        await waits.put_pause(pause)
    bed.dynamodb.calls.clear()
    bed.dynamodb.plan("batch_write_item", left_undone(bed, 20), left_undone(bed, 3))
    await waits.drop_pauses([pause.key for pause in [*pauses, *pauses]])
    assert await found(waits) == []
    assert (bed.dynamodb.count("batch_write_item"), bed.dynamodb.count("delete_item")) == (3, 23)


@pytest.mark.parametrize(("count", "operation"), [(1, "delete_item"), (2, "batch_write_item")])
async def test_dropping_that_fails_is_told(bed: Bed, waits: DynamoWaits, count: int, operation: str):
    """Dropping that is refused, or whose reply is lost, fails for the caller, and can be done again."""
    pauses = [a_pause(number) for number in range(count)]
    for pause in pauses:
        await waits.put_pause(pause)
    bed.dynamodb.plan(operation, refused("ProvisionedThroughputExceededException"), lost_reply)
    for left in (pauses, []):
        with pytest.raises(AwsError):
            await waits.drop_pauses([pause.key for pause in pauses])
        assert await found(waits) == left
    await waits.drop_pauses([pause.key for pause in pauses])


async def test_dropping_nothing_asks_nothing(bed: Bed, waits: DynamoWaits):
    """Without keys no call is made."""
    await waits.drop_pauses([])
    assert bed.dynamodb.calls == []


async def test_a_signal_taken_by_a_lost_reply_is_taken(bed: Bed, waits: DynamoWaits):
    """A waiter whose reply was lost finds itself when the call is repeated, by the client library or by itself."""
    wait = a_signal_wait()
    bed.dynamodb.plan("put_item", repeated)
    assert await waits.take_signal(wait, replace=False, now_ms=NOW_MS)
    bed.dynamodb.plan("put_item", lost_reply)
    other = a_signal_wait(2, name="other")
    with pytest.raises(AwsError):
        await waits.take_signal(other, replace=False, now_ms=NOW_MS)
    assert await waits.take_signal(other, replace=False, now_ms=NOW_MS)
    assert not await waits.take_signal(a_signal_wait(3, name="other"), replace=False, now_ms=NOW_MS)


@pytest.mark.parametrize("replace", [False, True])
async def test_a_signal_is_one_conditional_write(bed: Bed, waits: DynamoWaits, replace: bool):
    """Taking a signal, refused or not, is one write and no read."""
    assert await waits.take_signal(a_signal_wait(), replace=replace, now_ms=NOW_MS)
    assert await waits.take_signal(a_signal_wait(2), replace=replace, now_ms=NOW_MS) is replace
    assert calls(bed) == ["put_item"] * 2


async def test_a_signal_dropped_by_a_lost_reply_is_dropped(bed: Bed, waits: DynamoWaits):
    """A drop that is repeated drops nobody who came in between, and is no error."""
    await waits.take_signal(a_signal_wait(), replace=False, now_ms=NOW_MS)
    bed.dynamodb.plan("delete_item", repeated)
    await waits.drop_signal(a_signal_wait())
    assert await waits.get_signal("approve") is None


async def test_throttles_are_told_and_change_nothing(bed: Bed, waits: DynamoWaits):
    """A signal's write that is throttled fails as such, which is not the refusal of a condition."""
    bed.dynamodb.plan("put_item", refused("ThrottlingException"))
    bed.dynamodb.plan("delete_item", refused("ThrottlingException"))
    for attempt in (
        waits.take_signal(a_signal_wait(), replace=False, now_ms=NOW_MS),
        waits.drop_signal(a_signal_wait()),
    ):
        with pytest.raises(AwsError) as error:
            await attempt
        assert error.value.throttled
    assert await waits.get_signal("approve") is None


async def test_pauses_and_signals_are_forgotten_after_their_time(bed: Bed, waits: DynamoWaits):
    """DynamoDB may remove a pause or a signal a day after its time, never before; shapes stay."""
    await waits.put_pause(a_pause())
    await waits.take_signal(a_signal_wait(), replace=False, now_ms=NOW_MS)
    assert bed.expire(UNTIL_MS + TTL_MARGIN_MS - 1) == 0
    assert bed.expire(UNTIL_MS + TTL_MARGIN_MS + 1_000) == 2
    assert (await found(waits), await waits.get_signal("approve")) == ([], None)
    assert await waits.shapes(NAME) == [SHAPE]
    assert TTL_MARGIN_MS >= DAY_MS


class Ledger:
    """Counts calls and the bytes that come back."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def count(self, service: str, operation: str, parameters: Mapping[str, Any], response: Mapping[str, Any]) -> None:
        self.calls.append((operation, len(repr(response.get("Items")))))


EXPRESSION = "event.data.order_id == async.data.order_id && async.data.amount > 5"


def waiting_for(number: int) -> Pause:
    """Somebody who waits for the payment of an order."""
    shape, index = file_under(EXPRESSION, {"data": {"order_id": f"order-{number:05}"}})
    key = PauseKey(NAME, index, run_id(number), "step")
    return a_pause(number, expression=EXPRESSION, shape=shape, key=key)


async def reads_of_an_event(count: int, bed: Bed) -> list[tuple[str, int]]:
    """What routing an event that matches one pause of ``count`` reads."""
    table = dynamodb_backends[strict.ACCOUNT][strict.REGION].tables[bed.names.table]

    class Loader:
        """Writes past everything that makes moto slow."""

        def put_item(self, *, Item: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
            table.put_item(Item)
            return {}

    loading = DynamoWaits(Service("dynamodb", Loader(), inline), table=bed.names.table)
    for number in range(count):
        await loading.put_pause(waiting_for(number))
    ledger = Ledger()
    waits = bed.backend(meter=ledger).waits
    event = {"name": NAME, "data": {"order_id": "order-00007", "amount": 9}}
    matches = [
        pause
        for shape in await waits.shapes(NAME)
        for pause in await waits.pauses(NAME, shape, index_in(shape, event) or "", after=None, limit=PAUSE_PAGE)
    ]
    assert matches == [waiting_for(7)]
    return ledger.calls


async def test_an_event_costs_what_it_matches_not_what_waits(bed: Bed):
    """An event that matches 1 of 10 pauses and one that matches 1 of 10,000 make the same calls and read the same."""
    few = await reads_of_an_event(10, bed)
    many = await reads_of_an_event(10_000, bed)
    assert few == many
    assert [operation for operation, _ in few] == ["query", "query"]
