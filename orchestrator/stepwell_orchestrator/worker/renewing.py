"""Keeping a lease alive while a call is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from stepwell.errors import StepwellError
from stepwell_orchestrator.limits import LEASE_RENEW_MS
from stepwell_orchestrator.ports import Clock


@asynccontextmanager
async def renewing(clock: Clock, renew: Callable[[int], Awaitable[bool]], lease_ms: int) -> AsyncGenerator[None]:
    """Call ``renew(until_ms)`` every LEASE_RENEW_MS while the block runs; stop for good once it answers False.

    ``until_ms`` is ``lease_ms`` from the time of the call on.

    A renewal that fails is left to the next one: the lease outlasts two of them.
    """
    heart = asyncio.create_task(_beat(clock, renew, lease_ms))
    try:
        yield
    finally:
        heart.cancel()
        await asyncio.gather(heart, return_exceptions=True)


async def _beat(clock: Clock, renew: Callable[[int], Awaitable[bool]], lease_ms: int) -> None:
    held = True
    while held:
        await clock.sleep_until(clock.now_ms() + LEASE_RENEW_MS)
        try:
            held = await renew(clock.now_ms() + lease_ms)
        except StepwellError:
            continue
