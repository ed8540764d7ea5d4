from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from stepwell.wire.times import MINUTE_MS, SECOND_MS
from stepwell_orchestrator.aws.queue.messages import (
    MESSAGE_BYTES_MAX,
    Poison,
    message_body,
    message_group,
    receive,
)
from stepwell_orchestrator.aws.queue.queue import DELAY_MAX_MS, SqsQueue, delay_seconds
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.queue_item import CancelMatching, Drive, QueueItem, Route, Settle, SignalArrived
from tests.conformance.samples import event_id, run_id
from tests.conformance.test_queue import WAITING_WORKS, WORKS
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import Do, Fault, lost_reply, refused, repeated
from tests.orchestrator.aws.receiving import done, take, take_records


@pytest.fixture
def queue(bed: Bed) -> SqsQueue:
    return bed.backend().queue


def an_item(number: int = 1, *, in_ms: int = 0, bed: Bed) -> QueueItem:
    """Queue item ``number``, due so long from now."""
    return QueueItem(f"item-{number}", Drive(run_id(number), "test"), bed.clock.now_ms() + in_ms)


def a_signal(size: int, bed: Bed) -> QueueItem:
    """An item with a signal of that many characters."""
    return QueueItem("signal", Settle(run_id(1), "step", SignalArrived("s", "x" * size)), bed.clock.now_ms())


def sent(bed: Bed) -> list[list[dict[str, Any]]]:
    """The batches that were sent."""
    return [parameters["Entries"] for name, parameters in bed.clients["sqs"].calls if name == "send_message_batch"]


def left_out(*numbers: int, fault: bool = False) -> Fault:
    """SQS takes a batch but for some of its entries."""

    def fault_of_batch(do: Do, _: str) -> dict[str, Any]:
        failed = [
            {"Id": str(number), "Code": "InternalError", "Message": "try again", "SenderFault": fault}
            for number in numbers
        ]
        return {"Successful": [], "Failed": failed}

    return fault_of_batch


async def with_time(bed: Bed, work: Any) -> Any:
    """Do something while time passes."""
    task = asyncio.ensure_future(work)
    await bed.clock.advance(10 * SECOND_MS)
    return await task


@pytest.mark.parametrize("work", [*WORKS, *WAITING_WORKS], ids=lambda work: type(work).__name__)
async def test_an_item_comes_back_as_it_was_sent(bed: Bed, queue: SqsQueue, work: Any):
    """Every kind of work survives the queue, with its id and its time."""
    item = QueueItem("an id: é#\u0000", work, bed.clock.now_ms())
    await queue.send([item])
    (delivery,) = take(bed)
    assert (delivery.item, delivery.deliveries) == (item, 1)


async def test_every_character_of_json_may_be_sent(bed: Bed, queue: SqsQueue):
    """A text that SQS would refuse in a message arrives as it was, and what is sent has no such character."""
    text = "".join(map(chr, (*range(0x300), 0x2028, 0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000, 0x10FFFF)))
    item = QueueItem("item", Settle(run_id(1), "step", SignalArrived(text, {text: [text]})), bed.clock.now_ms())
    await queue.send([item])
    ((entry,),) = sent(bed)
    allowed = [(0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF)]
    assert all(any(low <= ord(one) <= high for low, high in allowed) for one in entry["MessageBody"])
    assert take(bed)[0].item == item


async def test_nothing_to_send_is_no_call(bed: Bed, queue: SqsQueue):
    """Sending no items asks SQS for nothing."""
    await queue.send([])
    assert bed.clients["sqs"].calls == []


async def test_a_run_is_a_group(bed: Bed, queue: SqsQueue):
    """A message's group is its run, before there is one its event, so that a busy run keeps no other waiting."""
    await queue.send([QueueItem("one", Drive(run_id(1), "test"), 0), QueueItem("two", Route(event_id(2)), 0)])
    groups = {record["attributes"]["MessageGroupId"] for record in take_records(bed)}
    assert groups == {run_id(1), event_id(2)}
    assert message_group(CancelMatching("cancellation", "f", None, 1, None)) == "cancellation"


@pytest.mark.parametrize(
    ("left_ms", "seconds"),
    [
        (-(10**12), 0),
        (-1, 0),
        (0, 0),
        (1, 1),
        (999, 1),
        (1_000, 1),
        (1_001, 2),
        (DELAY_MAX_MS - 1, 900),
        (DELAY_MAX_MS, 900),
        (DELAY_MAX_MS + 1, 900),
        (10**12, 900),
    ],
)
def test_a_delay_is_rounded_up(left_ms: int, seconds: int):
    """A delay is the whole seconds that are left, never less, and never more than SQS takes."""
    assert delay_seconds(10**13 + left_ms, 10**13) == seconds


@pytest.mark.parametrize(("in_ms", "comes_after_ms"), [(-5, 0), (0, 0), (1, 1_000), (1_000, 1_000), (1_500, 2_000)])
async def test_an_item_is_not_handed_out_before_its_time(bed: Bed, queue: SqsQueue, in_ms: int, comes_after_ms: int):
    """A delayed item is received from its time on, at most a second later."""
    await queue.send([an_item(in_ms=in_ms, bed=bed)])
    if comes_after_ms:
        await bed.clock.advance(comes_after_ms - 1)
        assert take(bed) == []
        await bed.clock.advance(1)
    (delivery,) = take(bed)
    assert 0 <= bed.clock.now_ms() - delivery.item.due_at_ms < SECOND_MS + 5


@pytest.mark.parametrize(("in_ms", "messages"), [(DELAY_MAX_MS - 1, 1), (DELAY_MAX_MS, 1), (DELAY_MAX_MS + 1, 0)])
async def test_what_sqs_cannot_delay_becomes_a_schedule(bed: Bed, queue: SqsQueue, in_ms: int, messages: int):
    """Up to 15 minutes an item is a delayed message; from a millisecond more on it is a schedule."""
    await queue.send([an_item(in_ms=in_ms, bed=bed)])
    assert (len(sent(bed)), bed.clients["scheduler"].count("create_schedule")) == (messages, 1 - messages)


async def test_near_and_far_items_go_their_ways(bed: Bed, queue: SqsQueue):
    """Of the items of one call each goes where its time takes it."""
    await queue.send([an_item(number, in_ms=number % 2 * 20 * MINUTE_MS, bed=bed) for number in range(25)])
    assert bed.clients["scheduler"].count("create_schedule") == 12
    assert sorted(delivery.item.id for delivery in take(bed)) == sorted(f"item-{n}" for n in range(0, 25, 2))


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
async def test_ten_items_are_sent_in_one_call(bed: Bed, queue: SqsQueue, count: int, sizes: Sequence[int]):
    """Items are sent ten to a batch, each under an id of its own in it."""
    await queue.send([an_item(number, bed=bed) for number in range(count)])
    batches = sent(bed)
    assert [len(batch) for batch in batches] == sizes
    assert all(len({entry["Id"] for entry in batch}) == len(batch) for batch in batches)
    assert len(take(bed)) == count


async def test_a_batch_is_no_longer_than_sqs_takes(bed: Bed, queue: SqsQueue):
    """Long items are spread over batches of at most a mebibyte, and a batch that fits exactly is one."""
    long = [
        QueueItem(f"item-{number}", Settle(run_id(1), "step", SignalArrived("s", "é" * 200_000)), bed.clock.now_ms())
        for number in range(5)
    ]
    await queue.send(long)
    sizes = [sum(len(entry["MessageBody"].encode()) for entry in batch) for batch in sent(bed)]
    assert [size // 400_000 for size in sizes] == [2, 2, 1]
    assert max(sizes) <= MESSAGE_BYTES_MAX


async def test_an_item_that_sqs_does_not_take_is_refused(bed: Bed, queue: SqsQueue):
    """An item of a mebibyte is sent; of a byte more it is refused, with its size, and nothing is sent."""
    room = MESSAGE_BYTES_MAX - len(message_body(a_signal(0, bed)).encode())
    await queue.send([a_signal(room, bed)])
    assert len(take(bed)) == 1
    with pytest.raises(StoreError, match=f"queue item signal has {MESSAGE_BYTES_MAX + 1} bytes and cannot be sent"):
        await queue.send([an_item(bed=bed), a_signal(room + 1, bed)])
    assert take(bed) == []


async def test_an_item_that_no_schedule_takes_goes_around_in_the_queue(bed: Bed, queue: SqsQueue):
    """A far item that is too long for a schedule is delayed as long as can be, handed out early, and sent again."""
    work = Settle(run_id(1), "step", SignalArrived("s", "x" * 256_000))
    item = QueueItem("item", work, bed.clock.now_ms() + 40 * MINUTE_MS)
    await queue.send([item])
    rounds = 0
    while not (received := take(bed)) or received[0].item.due_at_ms > bed.clock.now_ms():
        for delivery in received:
            await queue.hand_back(delivery, delivery.item.due_at_ms)
            done(bed, delivery.receipt_handle)
            rounds += 1
        await bed.clock.advance(MINUTE_MS)
    assert (received[0].item, received[0].deliveries, rounds) == (item, 1, 2)
    assert bed.clients["scheduler"].calls == []


async def test_the_first_of_an_id_in_one_call_is_sent(bed: Bed, queue: SqsQueue):
    """An id that occurs twice in one call is sent once, as it came first."""
    await queue.send([an_item(bed=bed), an_item(2, bed=bed), QueueItem("item-1", Route("other"), 0)])
    assert [delivery.item for delivery in take(bed)] == [an_item(bed=bed), an_item(2, bed=bed)]


async def test_what_a_batch_left_out_is_sent_again(bed: Bed, queue: SqsQueue):
    """Only the entries that SQS did not take are sent again."""
    bed.clients["sqs"].plan("send_message_batch", left_out(1, 3), left_out(3))
    await with_time(bed, queue.send([an_item(number, bed=bed) for number in range(5)]))
    assert [[entry["Id"] for entry in batch] for batch in sent(bed)] == [["0", "1", "2", "3", "4"], ["1", "3"], ["3"]]


async def test_what_is_left_out_for_ever_is_told(bed: Bed, queue: SqsQueue):
    """After four tries that SQS did not take the same entry, the sender is told so and why."""
    bed.clients["sqs"].plan("send_message_batch", *[left_out(0)] * 9)
    with pytest.raises(StoreError, match=r"did not take 1 of the messages .*InternalError: try again"):
        await with_time(bed, queue.send([an_item(bed=bed)]))
    assert len(sent(bed)) == 4


async def test_what_sqs_finds_wrong_is_not_repeated(bed: Bed, queue: SqsQueue):
    """An entry that is refused for what it is fails at once."""
    bed.clients["sqs"].plan("send_message_batch", left_out(0, fault=True))
    with pytest.raises(StoreError, match="did not take"):
        await queue.send([an_item(bed=bed)])
    assert len(sent(bed)) == 1


async def test_a_batch_that_fails_keeps_no_other_from_being_sent(bed: Bed, queue: SqsQueue):
    """When a call is throttled, the sender is told, after the other batches were sent."""
    bed.clients["sqs"].plan("send_message_batch", refused("RequestThrottled"))
    with pytest.raises(AwsError, match="RequestThrottled"):
        await queue.send([an_item(number, bed=bed) for number in range(25)])
    assert len(take(bed)) == 15


async def test_a_lost_reply_makes_a_second_message(bed: Bed, queue: SqsQueue):
    """An item whose reply was lost is there, and sent again it is there twice, as the worker expects."""
    bed.clients["sqs"].plan("send_message_batch", lost_reply, repeated)
    with pytest.raises(AwsError):
        await queue.send([an_item(bed=bed)])
    await queue.send([an_item(bed=bed)])
    assert {delivery.item.id for delivery in take(bed)} == {"item-1"}


async def test_a_delivery_counts(bed: Bed, queue: SqsQueue):
    """An item that comes again says how often it was handed out."""
    await queue.send([an_item(bed=bed)])
    assert [delivery.deliveries for delivery in take(bed)] == [1]
    await bed.clock.advance(MINUTE_MS)
    assert [delivery.deliveries for delivery in take(bed)] == [2]


async def test_an_item_handed_back_comes_at_its_new_time_and_counts_on(bed: Bed, queue: SqsQueue):
    """What a worker hands back comes at the time it named; the hand-outs before are counted with those after."""
    await queue.send([an_item(bed=bed)])
    (first,) = take(bed)
    at_ms = bed.clock.now_ms() + 30 * SECOND_MS
    await queue.hand_back(first, at_ms)
    done(bed, first.receipt_handle)
    await bed.clock.advance(30 * SECOND_MS - 1)
    assert take(bed) == []
    await bed.clock.advance(1)
    (second,) = take(bed)
    assert (second.item, second.deliveries) == (QueueItem("item-1", first.item.work, at_ms), 2)
    await bed.clock.advance(MINUTE_MS)
    assert [delivery.deliveries for delivery in take(bed)] == [3]


async def test_an_item_handed_out_early_does_not_count(bed: Bed, queue: SqsQueue):
    """A hand-out before the item's time is none: the item that comes at its time is delivered for the first time."""
    item = an_item(in_ms=2_000, bed=bed)
    bed.clients["sqs"].send_message(QueueUrl=bed.names.queue_url, MessageBody=message_body(item))
    (early,) = take(bed)
    await queue.hand_back(early, item.due_at_ms)
    done(bed, early.receipt_handle)
    await bed.clock.advance(2_000)
    (at_its_time,) = take(bed)
    assert (at_its_time.item, at_its_time.deliveries) == (item, 1)


async def test_a_schedule_that_is_still_there_keeps_no_other_out(bed: Bed, queue: SqsQueue):
    """An item may be postponed for longer than a delay although the schedule it came from is still there."""
    item = an_item(in_ms=20 * MINUTE_MS, bed=bed)
    await queue.send([item])
    bed.clients["sqs"].send_message(QueueUrl=bed.names.queue_url, MessageBody=message_body(item))
    await bed.clock.advance(20 * MINUTE_MS)
    (delivery,) = take(bed)
    await queue.hand_back(delivery, bed.clock.now_ms() + 20 * MINUTE_MS)
    assert len(bed.fire_schedules(bed.clock.now_ms())) == 1
    assert len(bed.fire_schedules(bed.clock.now_ms() + 20 * MINUTE_MS)) == 1


def a_record(body: str) -> dict[str, Any]:
    """A record as Lambda gives it."""
    return {
        "messageId": "m-1",
        "receiptHandle": "r-1",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1"},
    }


GOOD = {"id": "i", "due_at_ms": 5, "deliveries": 0, "work": ["drive", "r", "x"]}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "null",
        "[]",
        "5",
        "{}",
        '"text"',
        json.dumps(GOOD | {"id": 5}),
        json.dumps(GOOD | {"due_at_ms": "5"}),
        json.dumps(GOOD | {"due_at_ms": True}),
        json.dumps(GOOD | {"deliveries": None}),
        json.dumps(GOOD | {"work": None}),
        json.dumps(GOOD | {"work": []}),
        json.dumps(GOOD | {"work": {}}),
        json.dumps(GOOD | {"work": ["of a later version", "r"]}),
        json.dumps(GOOD | {"work": [["drive"], "r"]}),
        json.dumps(GOOD | {"work": ["drive"]}),
        json.dumps(GOOD | {"work": ["settle", "r", "s", []]}),
        json.dumps(GOOD | {"work": ["settle", "r", "s", ["event"]]}),
        json.dumps(GOOD | {"work": ["cancel matching", {"what": 1}]}),
        '{"Records": []}',
    ],
)
def test_what_is_no_item_is_poison(body: str):
    """A message that cannot be read says so, with the reason and what to do; it stops nothing else."""
    poison = receive(a_record(body))
    assert isinstance(poison, Poison)
    assert (poison.message_id, poison.receipt_handle) == ("m-1", "r-1")
    assert poison.reason.startswith("message m-1 is no queue item of this version (")
    assert "\n" not in poison.reason


def test_a_message_of_a_later_version_may_say_more():
    """What this version does not know of in a message is passed over."""
    delivery = receive(a_record(json.dumps(GOOD | {"later": [1]})))
    assert not isinstance(delivery, Poison)
    assert (delivery.item, delivery.deliveries) == (QueueItem("i", Drive("r", "x"), 5), 3)


def test_a_message_says_what_it_always_said():
    """The form of a message is fixed: schedules of an earlier version fire up to a year later."""
    item = QueueItem("run:start", Drive("run", "started"), 1_767_225_600_000)
    expected = '{"id":"run:start","due_at_ms":1767225600000,"deliveries":2,"work":["drive","run","started"]}'
    assert message_body(item, 2) == expected
