from __future__ import annotations

import asyncio

from stepwell_orchestrator.flow_ports import TAKERS_MAX, Gates, Rates
from stepwell_orchestrator.model.rate import Rate
from tests.conformance.samples import NOW_MS

GATE = "0123456789abcdef"
TWO_A_SECOND = Rate(2, 1_000, 2)


async def test_a_rate_lets_its_capacity_through_and_then_one_an_interval(rates: Rates):
    """Two at once, the third half a second later, and not a millisecond before."""
    taken = [await rates.take_token(GATE, TWO_A_SECOND, f"t{n}", NOW_MS) for n in range(3)]
    assert taken == [True, True, False]
    assert not await rates.take_token(GATE, TWO_A_SECOND, "t3", NOW_MS + 499)
    assert await rates.take_token(GATE, TWO_A_SECOND, "t3", NOW_MS + 500)


async def test_a_taker_that_asks_again_takes_nothing(rates: Rates):
    """A redelivery is told that it may, and costs nobody's turn."""
    assert await rates.take_token(GATE, TWO_A_SECOND, "a", NOW_MS)
    assert await rates.take_token(GATE, TWO_A_SECOND, "a", NOW_MS + 1)
    assert await rates.take_token(GATE, TWO_A_SECOND, "b", NOW_MS + 1)


async def test_the_last_takers_are_known(rates: Rates):
    """Of more takers than a rate remembers the oldest one is unknown again."""
    plenty = Rate(1_000, 1_000, 1_000)
    for number in range(TAKERS_MAX + 1):
        await rates.take_token(GATE, plenty, f"t{number}", NOW_MS)
    none_left = Rate(1, 1_000_000, 1)
    assert await rates.take_token(GATE, none_left, "t1", NOW_MS)
    assert not await rates.take_token(GATE, none_left, "t0", NOW_MS)


async def test_of_many_at_once_no_more_than_the_capacity_may(rates: Rates):
    """Six who ask at once are told by what the others took."""
    asked = (rates.take_token(GATE, TWO_A_SECOND, f"t{n}", NOW_MS) for n in range(6))
    assert sum(await asyncio.gather(*asked)) == 2


async def test_a_gate_shows_its_rate(rates: Rates, gates: Gates):
    """Whoever looks at a gate sees what its rate has counted."""
    assert (await gates.look(GATE, NOW_MS, waiters=0)).tat_ms is None
    await rates.take_token(GATE, TWO_A_SECOND, "a", NOW_MS)
    assert (await gates.look(GATE, NOW_MS, waiters=0)).tat_ms == NOW_MS + 500


async def test_a_gate_has_one_timer(rates: Rates):
    """A timer is set unless one will come that is no later; once its time has come the next one may be set."""
    await rates.take_token(GATE, TWO_A_SECOND, "a", NOW_MS)
    assert await rates.arm(GATE, NOW_MS + 500, NOW_MS)
    assert not await rates.arm(GATE, NOW_MS + 500, NOW_MS + 1)
    assert not await rates.arm(GATE, NOW_MS + 700, NOW_MS + 1)
    assert await rates.arm(GATE, NOW_MS + 400, NOW_MS + 1)
    assert await rates.arm(GATE, NOW_MS + 900, NOW_MS + 400)


async def test_a_gate_without_a_rate_has_no_timer(rates: Rates):
    """Nothing is set for a gate that lets everybody through."""
    assert not await rates.arm(GATE, NOW_MS + 500, NOW_MS)


async def test_a_taken_token_leaves_the_timer_as_it_is(rates: Rates):
    """Who takes a token does not unset the timer."""
    await rates.take_token(GATE, TWO_A_SECOND, "a", NOW_MS)
    await rates.arm(GATE, NOW_MS + 500, NOW_MS)
    await rates.take_token(GATE, TWO_A_SECOND, "b", NOW_MS)
    assert not await rates.arm(GATE, NOW_MS + 500, NOW_MS + 1)
