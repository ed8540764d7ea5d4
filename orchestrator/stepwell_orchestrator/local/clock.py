"""The machine's clock: the one place of the local backend that reads the time and sleeps."""

from __future__ import annotations

import asyncio
import time
from typing import Final

_NAP_MS: Final = 30_000
"""The loop's timers stand still while the machine sleeps, and the time of day may be set: look again this often."""


class SystemClock:
    """The Clock port on the machine's time of day."""

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000

    async def sleep_until(self, at_ms: int) -> None:
        """Return once ``now_ms()`` has reached ``at_ms``."""
        while (left_ms := at_ms - self.now_ms()) > 0:  # noqa: ASYNC110 (the passing of time sets no event)
            await asyncio.sleep(min(left_ms, _NAP_MS) / 1_000)
