"""The Queue port on SQS: what is due soon is a message, what is due later a schedule that becomes one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from stepwell.wire.times import MINUTE_MS, SECOND_MS
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.queue.messages import MESSAGE_BYTES_MAX, Delivery, message_body, message_group
from stepwell_orchestrator.aws.queue.schedules import INPUT_BYTES_MAX, Schedules
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.ports import Clock

DELAY_MAX_MS: Final = 15 * MINUTE_MS
"""How long SQS holds a message back."""
_BATCH: Final = 10
_TRIES: Final = 4
_PAUSE_MS: Final = 100
"""Before the second try of what SQS did not take; doubled for each further one."""

Entry = dict[str, Any]


class SqsQueue:
    """One queue. An id that is sent again is a second message, which the worker copes with.

    An item that is longer than a schedule may be goes around in the queue every 15 minutes instead.
    """

    def __init__(self, sqs: Service, schedules: Schedules, clock: Clock, *, url: str) -> None:
        self._sqs = sqs
        self._schedules = schedules
        self._clock = clock
        self._url = url

    async def send(self, items: Sequence[QueueItem]) -> None:
        """Queue items. Raises StoreError, and then some of them may have been queued."""
        first_of_id: dict[str, QueueItem] = {}
        for item in items:
            first_of_id.setdefault(item.id, item)
        await self._send([(item, message_body(item)) for item in first_of_id.values()])

    async def hand_back(self, delivery: Delivery, at_ms: int) -> None:
        """Queue a received item anew for ``at_ms``. After that its message is done. Raises StoreError.

        The new message carries on the count of deliveries, in which a hand-out before the item's time has no part.
        """
        deliveries = delivery.deliveries - (self._clock.now_ms() < delivery.item.due_at_ms)
        item = QueueItem(delivery.item.id, delivery.item.work, at_ms)
        await self._send([(item, message_body(item, deliveries, delivery.redrives))])

    async def redrive(self, delivery: Delivery, at_ms: int) -> None:
        """Queue anew an item that was received from the dead letter queue, for ``at_ms`` or its own later time.

        Its message there is done then. Raises StoreError.
        """
        item = QueueItem(delivery.item.id, delivery.item.work, max(at_ms, delivery.item.due_at_ms))
        await self._send([(item, message_body(item, delivery.deliveries, delivery.redrives + 1))])

    async def _send(self, messages: Sequence[tuple[QueueItem, str]]) -> None:
        now_ms = self._clock.now_ms()
        near: list[Entry] = []
        far: list[tuple[QueueItem, str]] = []
        for item, body in messages:
            if item.due_at_ms - now_ms > DELAY_MAX_MS and len(body.encode()) <= INPUT_BYTES_MAX:
                far.append((item, body))
            else:
                near.append(_entry(len(near), item, body, now_ms))
        await gather_limited(self._send_batch, _batches(near))
        await gather_limited(lambda message: self._schedules.create(*message, now_ms), far)

    async def _send_batch(self, entries: Sequence[Entry]) -> None:
        for pause_ms in (0, *(_PAUSE_MS << tried for tried in range(_TRIES - 1))):
            await self._clock.sleep_until(self._clock.now_ms() + pause_ms)
            response = await self._sqs.call("send_message_batch", QueueUrl=self._url, Entries=entries)
            failures = {failure["Id"]: failure for failure in response.get("Failed", ())}
            entries = [entry for entry in entries if entry["Id"] in failures]
            if not entries or any(failure["SenderFault"] for failure in failures.values()):
                break
        if entries:
            failure = failures[entries[0]["Id"]]
            reason = f"{failure['Code']}: {failure.get('Message', '')}"
            raise StoreError(f"SQS did not take {len(entries)} of the messages sent to {self._url} ({reason})")


def delay_seconds(due_at_ms: int, now_ms: int) -> int:
    """How long a message is held back: never less than it takes, and at most what SQS allows."""
    return -(-min(max(due_at_ms - now_ms, 0), DELAY_MAX_MS) // SECOND_MS)


def _entry(number: int, item: QueueItem, body: str, now_ms: int) -> Entry:
    return {
        "Id": str(number),
        "MessageBody": body,
        "DelaySeconds": delay_seconds(item.due_at_ms, now_ms),
        "MessageGroupId": message_group(item.work),
    }


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        length = len(entry["MessageBody"].encode())
        if batch and (len(batch) == _BATCH or size + length > MESSAGE_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += length
    if batch:
        yield batch
