"""What may come between the calls by which a gate in the table is changed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.flow import Place, Waiter
from stepwell_orchestrator.model.queue_item import Start
from stepwell_orchestrator.model.rate import Rate
from tests.conformance.samples import NOW_MS, UNTIL_MS
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.faults import Do, lost_reply, refused, repeated

GATE = "0123456789abcdef"
WAITER = Waiter(Place(10, "run"), "shop-sum", "calls fn", Start("run"), NOW_MS)


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine that waits for nobody returns."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


async def take(bed: Bed, holder: str = "a", most: int = 1) -> bool:
    """Ask for a slot, as a process of its own."""
    return await bed.backend().flow.gates.take_slot(GATE, most, holder, now_ms=NOW_MS, until_ms=UNTIL_MS)


async def test_a_repeated_taking_of_a_slot_has_it(bed: Bed):
    """Whose put was done and repeated by the client library holds one slot."""
    bed.dynamodb.plan("put_item", repeated)
    assert await take(bed)
    assert not await take(bed, "b")


async def test_a_taking_whose_reply_was_lost_is_found_again(bed: Bed):
    """Who never heard that it has a slot asks again, and has that one."""
    bed.dynamodb.plan("put_item", lost_reply)
    with pytest.raises(AwsError):
        await take(bed, most=2)
    assert await take(bed, most=2)
    state = await bed.backend().flow.gates.look(GATE, NOW_MS, waiters=0)
    assert [holder.name for holder in state.holders] == ["a"]


async def test_a_slot_that_is_taken_first_again_and_again_is_given_up(bed: Bed):
    """Asking ends, and the item comes again."""
    bed.dynamodb.plan("put_item", *[refused("ConditionalCheckFailedException")] * 20)
    with pytest.raises(StoreError, match="taken by others 20 times in a row; try again later"):
        await take(bed)


async def test_a_mark_comes_before_the_second_look(bed: Bed):
    """A slot freed before the line was marked is seen by the waiter, whom the giver could not see."""
    gates, other = bed.backend().flow.gates, bed.backend().flow.gates
    await take(bed, "held")
    seen: list[Any] = []

    def free_it(do: Do, _: str) -> dict[str, Any]:
        at_once(other.give_slot(GATE, "held"))
        seen.append(at_once(other.look(GATE, NOW_MS, waiters=1)).line)
        return do()

    bed.dynamodb.plan("put_item", free_it)
    await gates.join_line(GATE, WAITER)
    state = await gates.look(GATE, NOW_MS, waiters=1)
    assert seen == [()]
    assert (state.holders, state.line) == ((), (WAITER,))


async def test_a_mark_taken_from_under_a_waiter_is_put_back(bed: Bed):
    """Somebody who joins while an empty line's mark is taken away is seen all the same."""
    gates, other = bed.backend().flow.gates, bed.backend().flow.gates
    await gates.join_line(GATE, WAITER)
    await gates.leave_line(GATE, WAITER.place)

    def join(do: Do, _: str) -> dict[str, Any]:
        at_once(other.join_line(GATE, WAITER))
        return do()

    bed.dynamodb.plan("delete_item", join)
    await gates.forget_line(GATE)
    assert (await other.look(GATE, NOW_MS, waiters=1)).line == (WAITER,)


async def test_a_repeated_start_of_a_rate_counts_once(bed: Bed):
    """Who was let through and repeated by the client library has taken one start."""
    rates, rate = bed.backend().flow.rates, Rate(2, 1_000, 2)
    bed.dynamodb.plan("update_item", repeated)
    assert await rates.take_token(GATE, rate, "a", NOW_MS)
    assert await rates.take_token(GATE, rate, "b", NOW_MS)
    assert not await rates.take_token(GATE, rate, "c", NOW_MS)


async def test_a_free_gate_costs_two_writes_and_four_queries(bed: Bed):
    """A call through a free gate: look, take, give back, look; nobody's line is read."""
    gates = bed.backend().flow.gates
    bed.dynamodb.calls.clear()
    await gates.look(GATE, NOW_MS, waiters=100)
    await gates.take_slot(GATE, 5, "a", now_ms=NOW_MS, until_ms=UNTIL_MS)
    await gates.give_slot(GATE, "a")
    await gates.look(GATE, NOW_MS, waiters=100)
    assert [operation for operation, _ in bed.dynamodb.calls] == [
        "query",
        "query",
        "put_item",
        "query",
        "delete_item",
        "query",
    ]


async def test_an_idle_gate_leaves_nothing(bed: Bed):
    """A slot given back is no item, and a line that is forgotten neither."""
    gates = bed.backend().flow.gates
    await take(bed)
    await gates.join_line(GATE, WAITER)
    await gates.give_slot(GATE, "a")
    await gates.leave_line(GATE, WAITER.place)
    await gates.forget_line(GATE)
    assert bed.items() == []
