"""The time of a test."""

from __future__ import annotations

import asyncio


class SteppedClock:
    """The Clock port on a time that its owner sets.

    Its owner waits for the work itself before moving on. ``local.virtual_clock`` waits until the whole event loop is
    idle instead, which cannot be asked of a test's own loop with its tasks, threads and I/O.
    """

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._moved = asyncio.Event()

    def now_ms(self) -> int:
        """The test's epoch milliseconds."""
        return self._now_ms

    def move_to(self, at_ms: int) -> None:
        """Let time pass up to ``at_ms``; it never runs backwards."""
        self._now_ms = max(at_ms, self._now_ms)
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def sleep_until(self, at_ms: int) -> None:
        """Return once ``now_ms()`` has reached ``at_ms``."""
        while at_ms > self._now_ms:
            await self._moved.wait()
