"""What may come between the calls by which a batch in the table is changed."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.flow_ports import Batches
from stepwell_orchestrator.model.flow import BatchBounds, BatchEvent, Debounce, Offer, OpenBatch
from tests.conformance.samples import NOW_MS
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import Do, refused, repeated
from tests.orchestrator.aws.table.flow.test_gate_races import at_once

GATE = "0123456789abcdef"
TWO = BatchBounds(2, 1_000)


def batches(bed: Bed) -> Batches:
    """The batches of a process of its own."""
    return bed.backend().flow.batches


async def add(own: Batches, event: str, bounds: BatchBounds = TWO) -> OpenBatch:
    """Add an event."""
    return await own.append(GATE, BatchEvent(event, 1), bounds, NOW_MS)


async def test_a_repeated_update_adds_an_event_once(bed: Bed):
    """One whose update was done and repeated by the client library finds its event."""
    bed.dynamodb.plan("update_item", repeated)
    assert await add(batches(bed), "a") == OpenBatch("a", 1, NOW_MS)
    bed.dynamodb.plan("update_item", repeated)
    assert await add(batches(bed), "b") == OpenBatch("a", 2, NOW_MS, closed=True)


async def test_an_event_is_not_added_again_while_its_batch_is_moved(bed: Bed):
    """A redelivery that looked before the batch was moved aside finds it there, and opens none."""
    own, other = batches(bed), batches(bed)
    await add(own, "a")

    def move(do: Do, _: str) -> dict[str, Any]:
        found = do()
        at_once(other.close(GATE, "a", NOW_MS))
        return found

    bed.dynamodb.plan("get_item", lambda do, _: do() | {"Item": {}})  # the look before the event was added
    bed.dynamodb.plan("query", move)
    assert await add(own, "a") == OpenBatch("a", 1, NOW_MS, closed=True)


async def test_a_full_batch_that_nobody_moved_is_moved_by_the_next(bed: Bed):
    """Whose event filled it died: the next event opens another batch, and the full one can be closed."""
    own = batches(bed)
    await add(own, "a", BatchBounds(3, 1_000))
    await add(own, "b", BatchBounds(3, 1_000))
    assert await add(own, "c") == OpenBatch("c", 1, NOW_MS)
    closed = await own.close(GATE, "a", NOW_MS + 5)
    assert closed is not None
    assert closed.event_ids == ("a", "b")


async def test_an_event_that_comes_while_the_timer_closes_opens_the_next_batch(bed: Bed):
    """One that comes between the freezing of a batch and its move is in the next one."""
    own, other = batches(bed), batches(bed)
    await add(own, "a")
    seen: list[OpenBatch] = []

    def come(do: Do, _: str) -> dict[str, Any]:
        seen.append(at_once(add(other, "b")))
        return do()

    bed.dynamodb.plan("transact_write_items", come)
    closed = await own.close(GATE, "a", NOW_MS)
    assert closed is not None
    assert closed.event_ids == ("a",)
    assert seen == [OpenBatch("b", 1, NOW_MS)]


async def test_a_batch_that_is_changed_again_and_again_is_given_up(bed: Bed):
    """Adding and closing end, and the item comes again."""
    own = batches(bed)
    bed.dynamodb.plan("update_item", *[refused("ConditionalCheckFailedException")] * 20)
    with pytest.raises(StoreError, match="changed by others 20 times in a row; try again later"):
        await add(own, "a")
    await add(own, "a")
    bed.dynamodb.plan("update_item", *[refused("ConditionalCheckFailedException")] * 20)
    with pytest.raises(StoreError, match="changed by others 20 times in a row; try again later"):
        await own.close(GATE, "a", NOW_MS)


async def test_a_repeated_offer_finds_its_event(bed: Bed):
    """One whose put was done and repeated by the client library is told that its event is kept."""
    bed.dynamodb.plan("put_item", repeated)
    offer = Offer("a", NOW_MS, NOW_MS, NOW_MS, Debounce(1_000))
    kept = await bed.backend().flow.debounces.offer(GATE, offer)
    assert (kept.first_event_id, kept.due_at_ms) == ("a", NOW_MS + 1_000)


async def test_a_debounce_that_is_changed_again_and_again_is_given_up(bed: Bed):
    """Offering ends, and the item comes again."""
    bed.dynamodb.plan("put_item", *[refused("ConditionalCheckFailedException")] * 20)
    with pytest.raises(StoreError, match="changed by others 20 times in a row; try again later"):
        await bed.backend().flow.debounces.offer(GATE, Offer("a", NOW_MS, NOW_MS, NOW_MS, Debounce(1_000)))
