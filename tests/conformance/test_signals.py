from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell_orchestrator.model.signal import SignalWait
from stepwell_orchestrator.ports import Waits
from tests.conformance.samples import NOW_MS, UNTIL_MS, a_signal_wait

FIRST, SECOND = a_signal_wait(1), a_signal_wait(2, expires_at_ms=UNTIL_MS + 5)


async def take(waits: Waits, wait: SignalWait, *, replace: bool = False, now_ms: int = NOW_MS) -> bool:
    """Ask to be the waiter."""
    return await waits.take_signal(wait, replace=replace, now_ms=now_ms)


async def test_nobody_waits_at_first(waits: Waits):
    """A name that was never taken has no waiter."""
    assert await waits.get_signal("approve") is None


@pytest.mark.parametrize("name", ["approve", "x" * 255, "Zoë's \u0000 signal/*%_", " "])
async def test_the_first_to_ask_waits(waits: Waits, name: str):
    """A free name is taken, whatever its characters, and every member of the wait survives storage."""
    wait = a_signal_wait(name=name, expires_at_ms=2**53)
    assert await take(waits, wait) is True
    assert await waits.get_signal(name) == wait
    assert await waits.get_signal(name.upper() + "?") is None


async def test_another_step_is_refused(waits: Waits):
    """While somebody waits another run, or another step of the same run, is refused, and nothing changes."""
    await take(waits, FIRST)
    assert await take(waits, SECOND) is False
    assert await take(waits, a_signal_wait(1, step_id="other")) is False
    assert await waits.get_signal("approve") == FIRST


async def test_the_present_waiter_may_ask_again(waits: Waits):
    """A repeat by the waiter itself succeeds and leaves it the waiter."""
    assert [await take(waits, FIRST) for _ in range(2)] == [True, True]
    assert await waits.get_signal("approve") == FIRST


async def test_a_waiter_can_be_replaced(waits: Waits):
    """With ``replace`` the name goes to the later step, and the earlier one cannot take it back without."""
    await take(waits, FIRST)
    assert await take(waits, SECOND, replace=True) is True
    assert await waits.get_signal("approve") == SECOND
    assert await take(waits, FIRST) is False


@pytest.mark.parametrize(("late_ms", "taken"), [(-1, False), (0, True), (1, True)])
async def test_a_waiter_whose_time_is_up_gives_way(waits: Waits, late_ms: int, taken: bool):
    """From the millisecond on at which its time is up a waiter keeps nobody out."""
    await take(waits, FIRST)
    assert await take(waits, SECOND, now_ms=FIRST.expires_at_ms + late_ms) is taken
    assert await waits.get_signal("approve") == (SECOND if taken else FIRST)


async def test_names_do_not_compete(waits: Waits):
    """Each name has a waiter of its own, and one step may wait for several."""
    other = a_signal_wait(1, name="Approve")
    assert [await take(waits, FIRST), await take(waits, other)] == [True, True]
    await waits.drop_signal(FIRST)
    assert await waits.get_signal("Approve") == other


async def test_a_waiter_stops_waiting(waits: Waits):
    """A dropped signal has no waiter, may be dropped again, and is free for the next."""
    await take(waits, FIRST)
    await waits.drop_signal(FIRST)
    await waits.drop_signal(FIRST)
    assert await waits.get_signal("approve") is None
    assert await take(waits, SECOND) is True


@pytest.mark.parametrize("changes", [{"number": 2}, {"step_id": "other"}, {"name": "other"}], ids=str)
async def test_only_the_waiter_stops_its_wait(waits: Waits, changes: dict[str, Any]):
    """Dropping for another run, step or name leaves the waiter as it is."""
    await take(waits, FIRST)
    await waits.drop_signal(a_signal_wait(**changes))
    assert await waits.get_signal("approve") == FIRST


async def test_one_that_was_replaced_drops_nothing(waits: Waits):
    """The end of a wait that lost its name does not free it."""
    await take(waits, FIRST)
    await take(waits, SECOND, replace=True)
    await waits.drop_signal(FIRST)
    assert await waits.get_signal("approve") == SECOND


@pytest.mark.parametrize("replace", [False, True])
async def test_of_competing_steps_one_waits(waits: Waits, replace: bool):
    """Of steps that ask at once exactly one is the waiter; without ``replace`` it alone is told so."""
    rivals = [a_signal_wait(number) for number in range(1, 7)]
    answers = await asyncio.gather(*(take(waits, rival, replace=replace) for rival in rivals))
    holder = await waits.get_signal("approve")
    winners = [rival for rival, won in zip(rivals, answers, strict=True) if won]
    assert holder in winners
    assert len(winners) == (len(rivals) if replace else 1)
