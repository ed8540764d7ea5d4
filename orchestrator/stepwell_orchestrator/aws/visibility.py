"""Leases on received messages: nobody else sees them while they are worked on, and somebody does when that ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from stepwell.errors import StepwellError
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.limits import LEASE_MS, LEASE_RENEW_MS
from stepwell_orchestrator.ports import Clock

_BATCH: Final = 10

logger = logging.getLogger("stepwell.queue")


class Visibility:
    """What other consumers see of messages that this one received.

    The queue hides what it hands out for as long as a consumer may run. A lease is much shorter, so that the messages
    of a consumer that died come back soon. A message that is done or was handed out again is passed over.
    """

    def __init__(self, sqs: Service, clock: Clock, *, url: str) -> None:
        self._sqs = sqs
        self._clock = clock
        self._url = url

    @asynccontextmanager
    async def leased(self, receipt_handles: Iterable[str]) -> AsyncIterator[set[str]]:
        """Lease messages at once and renew that every LEASE_RENEW_MS while the block runs.

        Whoever is done with a message takes its handle out of the set. A renewal that fails is left to the next one:
        a lease outlasts two of them. A renewal under way holds up the end of the block: nothing is hidden after it.
        """
        in_flight = set(receipt_handles)
        renewing = asyncio.Lock()
        heart = asyncio.create_task(self._beat(in_flight, renewing))
        try:
            yield in_flight
        finally:
            try:
                # A thread that makes a call goes on when its waiter is cancelled. What it hides so late may have
                # become visible meanwhile, or be somebody else's.
                await renewing.acquire()
            finally:
                heart.cancel()
                await asyncio.gather(heart, return_exceptions=True)

    async def hide(self, receipt_handles: Iterable[str], for_ms: int = LEASE_MS) -> None:
        """Hide messages for that long from now on; 0: hand them out at once to whoever asks. Raises AwsError."""
        handles = sorted(receipt_handles)
        for start in range(0, len(handles), _BATCH):
            await self._hide(handles[start : start + _BATCH], for_ms // SECOND_MS)

    async def _hide(self, handles: Sequence[str], seconds: int) -> None:
        entries = [
            {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for number, handle in enumerate(handles)
        ]
        response = await self._sqs.call("change_message_visibility_batch", QueueUrl=self._url, Entries=entries)
        for failure in response.get("Failed", ()):
            logger.debug("a message is not in flight any more: %s %s", failure["Code"], failure.get("Message", ""))

    async def _beat(self, in_flight: set[str], renewing: asyncio.Lock) -> None:
        while True:
            beat_at_ms = self._clock.now_ms()
            async with renewing:
                await self._renew(in_flight)
            await self._clock.sleep_until(beat_at_ms + LEASE_RENEW_MS)

    async def _renew(self, in_flight: set[str]) -> None:
        try:
            await self.hide(in_flight)
        except StepwellError:
            logger.warning("the leases of %d messages could not be renewed", len(in_flight), exc_info=True)
