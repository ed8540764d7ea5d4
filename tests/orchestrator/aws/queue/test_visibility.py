from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from stepwell_orchestrator.aws.queue.messages import Delivery
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, LEASE_RENEW_MS
from stepwell_orchestrator.model.queue_item import Drive, QueueItem
from tests.conformance.samples import run_id
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import lost_call, refused
from tests.orchestrator.aws.receiving import done, take


async def received(bed: Bed, count: int = 1) -> list[Delivery]:
    """Items of a queue that hides them for a quarter of an hour, received."""
    attributes = {"VisibilityTimeout": "900"}
    bed.clients["sqs"].set_queue_attributes(QueueUrl=bed.names.queue_url, Attributes=attributes)
    items = [QueueItem(f"item-{n}", Drive(run_id(n), "test"), bed.clock.now_ms()) for n in range(count)]
    await bed.backend().queue.send(items)
    deliveries = take(bed)
    assert len(deliveries) == count
    return deliveries


def handles(deliveries: list[Delivery]) -> list[str]:
    """Their receipt handles."""
    return [delivery.receipt_handle for delivery in deliveries]


def beats(bed: Bed) -> list[int]:
    """How many messages each renewal was about."""
    calls = bed.clients["sqs"].calls
    return [len(parameters["Entries"]) for name, parameters in calls if name == "change_message_visibility_batch"]


async def test_items_of_a_consumer_that_died_come_back_after_a_lease(bed: Bed):
    """What was leased is handed out again a lease later, not when the queue would show it."""
    deliveries = await received(bed, 25)
    await bed.backend().visibility.hide(handles(deliveries))
    assert beats(bed) == [10, 10, 5]
    await bed.clock.advance(DELIVERY_LEASE_MS - 1)
    assert take(bed) == []
    await bed.clock.advance(2)
    assert len(take(bed)) == 25


async def test_leases_are_renewed_while_the_work_goes_on(bed: Bed):
    """A lease begins with the work and outlasts it by less than a lease, however long the work takes."""
    deliveries = await received(bed, 3)
    async with bed.backend().visibility.leased(handles(deliveries)):
        await bed.clock.advance(20 * LEASE_RENEW_MS + 1)
        assert take(bed) == []
    assert beats(bed) == [3] * 21
    await bed.clock.advance(DELIVERY_LEASE_MS)
    assert beats(bed) == [3] * 21
    assert len(take(bed)) == 3


async def test_what_is_done_is_not_renewed(bed: Bed):
    """A message that is taken out of the set is left alone, and without any nothing is asked of SQS."""
    first, second = await received(bed, 2)
    async with bed.backend().visibility.leased(handles([first, second])) as in_flight:
        await bed.clock.advance(1)
        in_flight.remove(first.receipt_handle)
        await bed.clock.advance(LEASE_RENEW_MS)
        in_flight.remove(second.receipt_handle)
        await bed.clock.advance(5 * LEASE_RENEW_MS)
    assert beats(bed) == [2, 1]


async def test_a_message_that_is_gone_stops_nothing(bed: Bed):
    """Renewing a message that was deleted, beside others, renews the others."""
    first, second = await received(bed, 2)
    done(bed, first.receipt_handle)
    async with bed.backend().visibility.leased(handles([first, second])):
        await bed.clock.advance(10 * DELIVERY_LEASE_MS)
        assert take(bed) == []


async def test_a_renewal_that_fails_is_left_to_the_next(bed: Bed, caplog: pytest.LogCaptureFixture):
    """Two renewals in a row may fail before a lease is lost, and each failure is logged."""
    deliveries = await received(bed)
    async with bed.backend().visibility.leased(handles(deliveries)):
        await bed.clock.advance(1)
        bed.clients["sqs"].plan("change_message_visibility_batch", refused("RequestThrottled"), lost_call)
        await bed.clock.advance(10 * DELIVERY_LEASE_MS)
        assert take(bed) == []
    assert [record.getMessage() for record in caplog.records] == ["the leases of 1 messages could not be renewed"] * 2


async def test_a_message_can_be_shown_at_once(bed: Bed):
    """What is hidden for no time is handed out to whoever asks next; that it cannot be hidden is told."""
    deliveries = await received(bed, 2)
    visibility = bed.backend().visibility
    await visibility.hide(handles(deliveries[:1]), 0)
    await bed.clock.advance(1)
    assert [delivery.item for delivery in take(bed)] == [deliveries[0].item]
    bed.clients["sqs"].plan("change_message_visibility_batch", refused("RequestThrottled"))
    with pytest.raises(AwsError):
        await visibility.hide(handles(deliveries), 0)


async def test_the_heart_stops_with_the_work(bed: Bed):
    """However the work ends, by an error or by being cancelled, nothing is renewed any more."""
    deliveries = await received(bed)

    async def work(*, fails: bool) -> None:
        async with bed.backend().visibility.leased(handles(deliveries)):
            if fails:
                raise ValueError("broken")
            await asyncio.Event().wait()

    with pytest.raises(ValueError, match="broken"):
        await work(fails=True)
    task = asyncio.create_task(work(fails=False))
    await bed.clock.advance(1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    before = len(beats(bed))
    await bed.clock.advance(DELIVERY_LEASE_MS)
    assert len(beats(bed)) == before


async def test_no_renewal_outlives_the_work(bed: Bed):
    """The work ends after a renewal under way: a thread would make its call later, and hide what is visible by then."""
    deliveries, go_on = await received(bed), asyncio.Event()

    async def in_a_thread(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        async def thread() -> dict[str, Any]:
            await go_on.wait()
            return work()

        # A thread does not end with whoever waits for it.
        return await asyncio.shield(asyncio.ensure_future(thread()))

    async def work() -> None:
        async with bed.backend(in_a_thread).visibility.leased(handles(deliveries)):
            await asyncio.sleep(0)

    working = asyncio.create_task(work())
    await bed.clock.advance(1)
    assert (working.done(), beats(bed)) == (False, [])
    go_on.set()
    await working
    assert beats(bed) == [1]
    await bed.clock.advance(DELIVERY_LEASE_MS)
    assert beats(bed) == [1]
