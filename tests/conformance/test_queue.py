from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell_orchestrator.model.queue_item import (
    Cancel,
    CancelMatching,
    ChildEnded,
    Deadline,
    Drive,
    EventArrived,
    Execute,
    QueueItem,
    Route,
    Settle,
    SignalArrived,
    TimerDue,
    WaitRefused,
    Work,
)
from tests.conformance.backends import WorkQueue
from tests.conformance.samples import NOW_MS, UNTIL_MS, event_id, run_id

WORKS: list[Work] = [
    Route(event_id(1)),
    Drive(run_id(1), "started"),
    Execute(run_id(1), "step", 3),
    TimerDue(run_id(1), "step"),
    Cancel(run_id(1), NOW_MS),
]
WAITING_WORKS: list[Work] = [
    Settle(run_id(1), "step", EventArrived(event_id(2))),
    Settle(run_id(1), "step", SignalArrived("approve é", None)),
    Settle(run_id(1), "step", SignalArrived("approve", {"deep": [1, 2.5, None, {}], "whole": 2**70})),
    Settle(run_id(1), "step", SignalArrived("approve", [])),
    Settle(run_id(1), "step", ChildEnded(run_id(2))),
    Settle(run_id(1), "step", WaitRefused("could not find function with ID: x")),
    Deadline(run_id(1), "start", 0),
    Deadline(run_id(1), "finish", 2**53),
    CancelMatching(event_id(3), "shop-fulfil", None, NOW_MS, None),
    CancelMatching(event_id(3), "shop-fulfil", 0, NOW_MS, "event.data.id == 1", run_id(4)),
]


def an_item(number: int = 1, *, due_at_ms: int = NOW_MS) -> QueueItem:
    """Queue item ``number``, about the run of that number."""
    return QueueItem(f"item-{number}", Drive(run_id(number), "test"), due_at_ms)


async def take(queue: WorkQueue, now_ms: int = NOW_MS, *, limit: int = 10, until_ms: int = UNTIL_MS) -> list[Any]:
    """Lease what is due."""
    return await queue.receive(limit, now_ms, until_ms)


async def ids(queue: WorkQueue, now_ms: int = NOW_MS, *, until_ms: int = UNTIL_MS) -> list[str]:
    """Lease what is due: the item ids."""
    return sorted(delivery.item.id for delivery in await take(queue, now_ms, until_ms=until_ms))


@pytest.mark.parametrize("work", [*WORKS, *WAITING_WORKS], ids=lambda work: type(work).__name__)
async def test_an_item_comes_back_as_it_was_sent(queue: WorkQueue, work: Work):
    """Every kind of work survives the queue."""
    item = QueueItem("item", work, NOW_MS)
    await queue.send([item])
    (delivery,) = await take(queue)
    assert (delivery.item, delivery.deliveries) == (item, 1)


async def test_an_empty_queue_gives_nothing(queue: WorkQueue):
    """Nothing is received from an empty queue, and nothing is awaited."""
    await queue.send([])
    assert await take(queue) == []
    assert await queue.next_at_ms() is None


async def test_an_item_is_not_handed_out_before_its_time(queue: WorkQueue):
    """An item is received from the millisecond it is due on, and the queue says when that is."""
    await queue.send([an_item(1, due_at_ms=NOW_MS + 5), an_item(2, due_at_ms=NOW_MS + 9)])
    assert await queue.next_at_ms() == NOW_MS + 5
    assert await ids(queue, NOW_MS + 4) == []
    assert await ids(queue, NOW_MS + 5) == ["item-1"]


async def test_a_leased_item_is_not_handed_out(queue: WorkQueue):
    """An item under a lease is nobody else's until the lease ends, and then it comes again and is counted."""
    await queue.send([an_item()])
    (first,) = await take(queue, until_ms=NOW_MS + 10)
    assert await ids(queue, NOW_MS + 9) == []
    assert await queue.next_at_ms() == NOW_MS + 10
    (second,) = await take(queue, NOW_MS + 10)
    assert (first.item, first.deliveries, second.deliveries) == (second.item, 1, 2)


async def test_a_limit_holds(queue: WorkQueue):
    """At most the limit is received at once, and every item is received in the end."""
    await queue.send([an_item(number) for number in range(5)])
    batches = [await take(queue, limit=2) for _ in range(4)]
    assert [len(batch) for batch in batches] == [2, 2, 1, 0]
    assert len({delivery.item.id for batch in batches for delivery in batch}) == 5


async def test_a_queued_id_is_left_as_it_is(queue: WorkQueue):
    """Sending an id that is queued changes neither its work nor its time, in one call or in two."""
    await queue.send([an_item(), QueueItem("item-1", Route("other"), NOW_MS)])
    await queue.send([QueueItem("item-1", Route("other"), NOW_MS - 5)])
    (delivery,) = await take(queue)
    assert delivery.item == an_item()


async def test_an_id_being_worked_on_is_left_as_it_is(queue: WorkQueue):
    """Sending the id of a leased item neither frees nor doubles it."""
    await queue.send([an_item()])
    (delivery,) = await take(queue)
    await queue.send([an_item()])
    assert await ids(queue) == []
    assert await queue.ack(delivery) is True
    assert await queue.next_at_ms() is None


async def test_a_done_id_can_be_sent_again(queue: WorkQueue):
    """After an item is done its id is free, and its deliveries count from one."""
    await queue.send([an_item()])
    (delivery,) = await take(queue)
    await queue.ack(delivery)
    await queue.send([an_item()])
    (again,) = await take(queue)
    assert again.deliveries == 1


async def test_an_item_is_done_once(queue: WorkQueue):
    """The second acknowledgement of a delivery is refused."""
    await queue.send([an_item()])
    (delivery,) = await take(queue)
    assert await queue.ack(delivery) is True
    assert await queue.ack(delivery) is False


async def test_an_expired_lease_can_still_be_settled(queue: WorkQueue):
    """Work that took longer than its lease counts as long as nobody else was given the item."""
    await queue.send([an_item()])
    (delivery,) = await take(queue, until_ms=NOW_MS + 10)
    assert await queue.next_at_ms() == NOW_MS + 10
    assert await queue.ack(delivery) is True
    assert await ids(queue, UNTIL_MS) == []


async def test_a_delivery_that_is_not_current_settles_nothing(queue: WorkQueue):
    """Once an item was handed out again, the delivery before can neither finish, postpone nor prolong it."""
    await queue.send([an_item()])
    (stale,) = await take(queue, until_ms=NOW_MS + 10)
    (current,) = await take(queue, NOW_MS + 10, until_ms=NOW_MS + 20)
    assert await queue.ack(stale) is False
    assert await queue.postpone(stale, NOW_MS) is False
    await queue.renew([stale], UNTIL_MS)
    assert await queue.next_at_ms() == NOW_MS + 20
    assert await queue.ack(current) is True


async def test_a_delivery_of_an_earlier_life_settles_nothing(queue: WorkQueue):
    """A delivery of an item that is done has no say in a later item of the same id."""
    await queue.send([an_item()])
    (earlier,) = await take(queue)
    await queue.ack(earlier)
    await queue.send([an_item()])
    (later,) = await take(queue)
    assert await queue.ack(earlier) is False
    assert await queue.postpone(earlier, NOW_MS) is False
    assert await queue.ack(later) is True


async def test_a_postponed_item_comes_at_its_new_time(queue: WorkQueue):
    """A postponed item is free at once, due at its new time, and still counts its deliveries."""
    await queue.send([an_item()])
    (delivery,) = await take(queue)
    assert await queue.postpone(delivery, NOW_MS + 50) is True
    assert await queue.ack(delivery) is False
    assert await queue.next_at_ms() == NOW_MS + 50
    assert await ids(queue, NOW_MS + 49) == []
    (again,) = await take(queue, NOW_MS + 50)
    assert (again.item, again.deliveries) == (an_item(due_at_ms=NOW_MS + 50), 2)


async def test_a_renewed_lease_holds_longer(queue: WorkQueue):
    """Renewing prolongs exactly the leases named."""
    await queue.send([an_item(1), an_item(2)])
    first, _ = await take(queue, until_ms=NOW_MS + 10)
    await queue.renew([first], NOW_MS + 20)
    assert await ids(queue, NOW_MS + 19, until_ms=UNTIL_MS + 1) == ["item-2"]
    assert await ids(queue, NOW_MS + 20) == ["item-1"]


async def test_competing_receivers_share_the_items(queue: WorkQueue):
    """Items received by several workers at once are each handed to exactly one."""
    await queue.send([an_item(number) for number in range(9)])
    batches = await asyncio.gather(*(take(queue, limit=4) for _ in range(4)))
    received = [delivery.item.id for batch in batches for delivery in batch]
    assert sorted(received) == [f"item-{number}" for number in range(9)]


async def test_the_queue_holds_an_item_until_it_is_done(queue: WorkQueue):
    """An item is held from its sending on, while it is leased, postponed or not due yet, until it is done."""
    assert await queue.holds("item-1") is False
    await queue.send([an_item(), an_item(2, due_at_ms=UNTIL_MS)])
    assert [await queue.holds("item-1"), await queue.holds("item-2")] == [True, True]
    (delivery,) = await take(queue)
    assert await queue.holds("item-1") is True
    await queue.postpone(delivery, NOW_MS + 5)
    assert await queue.holds("item-1") is True
    (delivery,) = await take(queue, NOW_MS + 5)
    await queue.ack(delivery)
    assert [await queue.holds("item-1"), await queue.holds("item")] == [False, False]


async def test_the_items_of_a_run_are_found(queue: WorkQueue):
    """A run's items are listed by due time, leased ones included, done ones and other runs' not."""
    works = [work for work in (*WORKS, *WAITING_WORKS) if not isinstance(work, Route | CancelMatching)]
    about = [QueueItem(f"about-{n}", work, NOW_MS + n) for n, work in enumerate(works)]
    unrelated = [QueueItem("route", Route(event_id(1)), NOW_MS), QueueItem("many", WAITING_WORKS[-1], NOW_MS)]
    await queue.send([*reversed(about), *unrelated, an_item(2)])
    leased = {delivery.item.id: delivery for delivery in await take(queue, NOW_MS + 1)}
    assert leased.keys() == {"about-0", "about-1", "route", "many", "item-2"}
    await queue.ack(leased["about-0"])
    assert await queue.items_of_run(run_id(1)) == about[1:]
    assert await queue.items_of_run(run_id(3)) == []
