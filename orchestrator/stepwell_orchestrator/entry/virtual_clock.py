"""A clock that stands still until it is told to go on."""

from __future__ import annotations

import asyncio
import heapq
from typing import Final

VIRTUAL_START_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z: a plausible time, the same in every test."""


class VirtualClock:
    """The Clock port on a time that only ``advance`` moves."""

    def __init__(self, now_ms: int = VIRTUAL_START_MS) -> None:
        self._now_ms = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._sleeps = 0

    def now_ms(self) -> int:
        """The virtual epoch milliseconds."""
        return self._now_ms

    async def sleep_until(self, at_ms: int) -> None:
        """Return once ``now_ms()`` has reached ``at_ms``."""
        if at_ms > self._now_ms:
            self._sleeps += 1
            alarm = asyncio.get_running_loop().create_future()
            heapq.heappush(self._sleepers, (at_ms, self._sleeps, alarm))
            await alarm

    def next_at_ms(self) -> int | None:
        """Return when the next sleeper wakes, or None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, duration_ms: int) -> None:
        """Let ``duration_ms`` pass: sleepers wake at their own time, in the order of their times, then of their calls.

        Before the first and after each of them the loop runs until it is idle, so that what is under way, or what a
        sleeper starts, may go to sleep in turn and wakes at its time too. Threads and sockets are not waited for.
        """
        await _idle()
        end_ms = self._now_ms + duration_ms
        while (at_ms := self.next_at_ms()) is not None and at_ms <= end_ms:
            _, _, alarm = heapq.heappop(self._sleepers)
            self._now_ms = at_ms
            alarm.set_result(None)
            await _idle()
        self._now_ms = end_ms


async def _idle() -> None:
    """Until nothing but the caller is ready to run."""
    loop = asyncio.get_running_loop()
    while True:
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
        # asyncio has no public way to ask.
        if not loop._ready:  # type: ignore[attr-defined]
            return
