from __future__ import annotations

import asyncio

import pytest

from stepwell_orchestrator.aws.gather_limited import AT_ONCE, gather_limited


async def test_results_come_in_order():
    """Results are in the order of the arguments, in whatever order the calls end."""
    gates = [asyncio.Event() for _ in range(4)]

    async def call(number: int) -> int:
        if number < 3:
            await gates[number].wait()
        else:
            for gate in reversed(gates):
                gate.set()
        return number * number

    assert await gather_limited(call, range(4)) == [0, 1, 4, 9]
    assert await gather_limited(call, range(0)) == []


@pytest.mark.parametrize("at_once", [1, 3, AT_ONCE])
async def test_not_too_many_are_under_way(at_once: int):
    """Never more calls than allowed are under way, and at times as many."""
    under_way = most = 0

    async def call(_: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    await gather_limited(call, range(30), at_once=at_once)
    assert most == at_once


async def test_a_failure_leaves_no_call_behind():
    """When calls fail, the first of them in order is raised, after all others have come to an end."""
    gate = asyncio.Event()
    ended: list[int] = []

    async def call(number: int) -> None:
        if number == 0:
            await gate.wait()
            await asyncio.sleep(0)
        elif number == 3:
            asyncio.get_running_loop().call_later(0, gate.set)
        elif number < 3:
            raise ValueError(f"call {number}")
        ended.append(number)

    with pytest.raises(ValueError, match="call 1"):
        await gather_limited(call, range(5))
    assert sorted(ended) == [0, 3, 4]
