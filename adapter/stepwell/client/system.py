"""What the adapter takes from the machine it runs on: the clock, sleep, entropy. All else has them passed in."""

from __future__ import annotations

import asyncio
import secrets
import time

from stepwell.wire.ids import EventIdSeed


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


async def sleep_ms(delay_ms: int) -> None:
    """Sleep for ``delay_ms`` milliseconds."""
    await asyncio.sleep(delay_ms / 1000)


def fresh_seed() -> EventIdSeed:
    """A seed no other send has: the current time and ten random bytes (protocol 3.4)."""
    return EventIdSeed(now_ms(), secrets.token_bytes(10))


def random_bytes(count: int) -> bytes:
    """Bytes that cannot be guessed and were never drawn before."""
    return secrets.token_bytes(count)


def jitter_ms(bound_ms: int) -> int:
    """A random number of milliseconds below ``bound_ms``: calls that failed together shall not come back together."""
    return secrets.randbelow(bound_ms)
