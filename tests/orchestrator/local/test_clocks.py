from __future__ import annotations

import asyncio

from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS, VirtualClock
from stepwell_orchestrator.local.clock import SystemClock


async def test_the_system_clock_sleeps_until_its_own_time():
    """The machine's clock never returns early, and at once when the time has passed."""
    clock = SystemClock()
    at_ms = clock.now_ms() + 3
    await clock.sleep_until(at_ms)
    assert clock.now_ms() >= at_ms
    await clock.sleep_until(at_ms - 10_000)


async def test_virtual_time_moves_only_by_advancing():
    """The virtual clock starts at a fixed time and goes exactly as far as it is told to."""
    clock = VirtualClock()
    assert clock.now_ms() == VIRTUAL_START_MS
    await clock.advance(5)
    assert clock.now_ms() == VIRTUAL_START_MS + 5


async def test_sleepers_wake_at_their_time_in_order():
    """Sleepers wake at their own millisecond, by time and then by who slept first, and none before."""
    clock = VirtualClock(0)
    woken: list[tuple[str, int]] = []

    async def sleep(name: str, at_ms: int) -> None:
        await clock.sleep_until(at_ms)
        woken.append((name, clock.now_ms()))

    sleepers = [asyncio.create_task(sleep(*row)) for row in (("c", 20), ("a", 10), ("b", 10), ("d", 31))]
    await clock.advance(30)
    assert woken == [("a", 10), ("b", 10), ("c", 20)]
    assert (clock.now_ms(), clock.next_at_ms()) == (30, 31)
    await clock.advance(1)
    assert woken[-1] == ("d", 31)
    await asyncio.gather(*sleepers)


async def test_what_a_sleeper_sleeps_for_next_comes_at_its_time():
    """A sleep that begins during an advance, many loop passes after the one before, ends within it at its own time."""
    clock = VirtualClock(0)
    ticks: list[int] = []

    async def tick() -> None:
        for at_ms in (10, 20, 30):
            await clock.sleep_until(at_ms)
            for _ in range(50):
                await asyncio.sleep(0)
            ticks.append(clock.now_ms())

    task = asyncio.create_task(tick())
    await clock.advance(30)
    assert ticks == [10, 20, 30]
    await task


async def test_a_time_that_has_passed_is_not_waited_for():
    """Sleeping until now or earlier returns at once."""
    clock = VirtualClock(10)
    await clock.sleep_until(10)
    await clock.sleep_until(3)
    assert clock.next_at_ms() is None


async def test_a_cancelled_sleeper_is_forgotten():
    """A sleep that was cancelled neither wakes nor is waited for."""
    clock = VirtualClock(0)
    sleeper = asyncio.create_task(clock.sleep_until(10))
    await clock.advance(0)
    sleeper.cancel()
    await asyncio.wait([sleeper])
    assert clock.next_at_ms() is None
    await clock.advance(20)
    assert clock.now_ms() == 20
