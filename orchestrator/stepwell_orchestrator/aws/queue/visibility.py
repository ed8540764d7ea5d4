"""Leases on received messages: nobody else sees them while they are worked on, and somebody does when that ends.

SQS hides what it hands out for as long as a consumer may run, a quarter of an hour. A lease is much shorter.

| who dies or comes between                | the queue shows          | who takes the message                | test   |
| ---------------------------------------- | ------------------------ | ------------------------------------ | ------ |
| the consumer dies                        | a lease that runs out    | the next consumer, a lease later     | 1      |
| the work takes long                      | a lease that is renewed  | nobody                               | 2      |
| up to two renewals in a row fail         | a lease that still runs  | nobody                               | 3      |
| a message is done, or was handed out     | nothing to renew         | nobody: it is passed over            | 4, 5   |
| again                                    |                          |                                      |        |
| the work is cancelled or fails           | a lease that runs out    | the next consumer, a lease later     | 6      |

1. ``tests/orchestrator/aws/queue/test_visibility.py::test_items_of_a_consumer_that_died_come_back_after_a_lease``
2. ``tests/orchestrator/aws/queue/test_visibility.py::test_leases_are_renewed_while_the_work_goes_on``
3. ``tests/orchestrator/aws/queue/test_visibility.py::test_a_renewal_that_fails_is_left_to_the_next``
4. ``tests/orchestrator/aws/queue/test_visibility.py::test_what_is_done_is_not_renewed``
5. ``tests/orchestrator/aws/queue/test_visibility.py::test_a_message_that_is_gone_stops_nothing``
6. ``tests/orchestrator/aws/queue/test_visibility.py::test_the_heart_stops_with_the_work``
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from stepwell.errors import StepwellError
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, LEASE_RENEW_MS
from stepwell_orchestrator.ports import Clock

_BATCH: Final = 10

logger = logging.getLogger("stepwell.queue")


class Visibility:
    """What other consumers see of the messages that this one received."""

    def __init__(self, sqs: Service, clock: Clock, *, url: str) -> None:
        self._sqs = sqs
        self._clock = clock
        self._url = url

    @asynccontextmanager
    async def leased(self, receipt_handles: Iterable[str]) -> AsyncGenerator[set[str]]:
        """Lease messages at once and renew that every LEASE_RENEW_MS while the block runs.

        The consumer takes the handle of a message out of the set when it is done with it. A renewal that fails is
        logged and left to the next one: a lease outlasts two of them. A renewal under way holds up the end of the
        block: nothing is hidden after it.
        """
        in_flight = set(receipt_handles)
        renewing = asyncio.Lock()
        heart = asyncio.create_task(self._beat(in_flight, renewing))
        try:
            yield in_flight
        finally:
            try:
                # A thread that makes a call goes on when its waiter is cancelled. What it hides so late may have
                # become visible meanwhile, or be another consumer's.
                await renewing.acquire()
            finally:
                heart.cancel()
                await asyncio.gather(heart, return_exceptions=True)

    async def hide(self, receipt_handles: Iterable[str], for_ms: int = DELIVERY_LEASE_MS) -> None:
        """Hide messages for that long from now on. With 0 they are handed out again at once. Raises AwsError."""
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
