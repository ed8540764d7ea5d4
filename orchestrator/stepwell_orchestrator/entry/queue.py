"""The Lambda function on the queue: a batch of items at once, each done, handed back, or reported as failed alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from stepwell.errors import StepwellError, WireError
from stepwell.wire.times import format_instant
from stepwell_orchestrator.aws.messages import Delivery, Poison, receive
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.entry.aws.assemble import Deployment, this_process
from stepwell_orchestrator.entry.aws.function import LambdaFunction
from stepwell_orchestrator.entry.aws.logs import about
from stepwell_orchestrator.limits import LEASE_MS

SUSPICIOUS_DELIVERIES: Final = 10
"""From so many deliveries on, each is worth a warning: what it fails by does not seem to pass."""

_log = logging.getLogger("stepwell.queue")


class Batches:
    """Works on batches of queue items.

    The messages of a batch are leased while it lasts. Those whose item failed come back when their lease ends, and
    after too many deliveries end in the dead letter queue; those of a function that was killed come back likewise.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """Work on one batch; the answer names the messages that are not done. Raises WireError for another event."""
        received = [receive(record) for record in _records(event)]
        if not received:
            return {"batchItemFailures": []}
        deadline = self._deployment.deadline
        deadline.begin(context.get_remaining_time_in_millis())
        failed = {message.message_id: message for message in received}
        async with self._deployment.backend.visibility.leased(one.receipt_handle for one in received) as leased:
            tasks = [asyncio.create_task(self._done(one, leased)) for one in received]
            with suppress(TimeoutError):
                async with deadline.alive():
                    await asyncio.wait(tasks)
        for task in tasks:
            if task.done():
                failed.pop(task.result() or "", None)
            else:
                task.cancel()
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    async def _done(self, message: Delivery | Poison, leased: set[str]) -> str | None:
        """The message's id once it is done; None when it failed, and then it comes back when its lease ends."""
        if isinstance(message, Poison):
            _log.error("a message cannot be read: %s", message.reason, extra={"message_id": message.message_id})
        elif await self._worked_on(message):
            return message.message_id
        leased.discard(message.receipt_handle)
        with suppress(StepwellError):
            await self._deployment.backend.visibility.hide([message.receipt_handle])
        return None

    async def _worked_on(self, delivery: Delivery) -> bool:
        item = delivery.item
        with about(**_subject(delivery)):
            try:
                again_at_ms = await self._again_at_ms(delivery)
                if again_at_ms is not None:
                    await self._deployment.backend.queue.hand_back(delivery, again_at_ms)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's alone
                _log.exception("queue item %s failed at delivery %d", item.id, delivery.deliveries)
                if delivery.deliveries >= SUSPICIOUS_DELIVERIES:
                    await self._mark(delivery, error)
                return False
        return True

    async def _mark(self, delivery: Delivery, error: Exception) -> None:
        """Say on the run, too, what its item keeps failing by."""
        trouble = (
            f"queue item {delivery.item.id} has failed at {delivery.deliveries} deliveries, last at "
            f"{format_instant(self._deployment.clock.now_ms())} by {type(error).__name__}: {error}; "
            "it is tried again every half a minute, and after hours of that comes back from the dead letter queue"
        )
        _log.error("%s", trouble)
        run_id = getattr(delivery.item.work, "run_id", None)
        if run_id is not None:
            try:
                await self._deployment.backend.journal.note_trouble(run_id, trouble)
            except StepwellError:
                _log.warning("the run could not be marked", exc_info=True)

    async def _again_at_ms(self, delivery: Delivery) -> int | None:
        """Work on an item, unless it came early; when it is to be handed out again."""
        if self._deployment.clock.now_ms() < delivery.item.due_at_ms:
            return delivery.item.due_at_ms
        await self._deployment.signing_keys.refresh()
        try:
            return await self._deployment.worker.handle(delivery.item, delivery.deliveries)
        except AwsError as error:
            if not error.throttled:
                raise
            # Nobody is at fault, so it is not to end in the dead letter queue; by then what it holds has run out.
            _log.warning("queue item %s comes again in %d ms: %s", delivery.item.id, LEASE_MS, error)
            return self._deployment.clock.now_ms() + LEASE_MS


def _records(event: Any) -> list[Mapping[str, Any]]:
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list) or any(record.get("eventSource") != "aws:sqs" for record in records):
        raise WireError("this event is not a batch of SQS messages; this function belongs to the work queue alone")
    return records


def _subject(delivery: Delivery) -> dict[str, Any]:
    """What lines about an item are to be found by."""
    work = delivery.item.work
    names = ("run_id", "event_id", "function_id", "cancellation_id")
    return {name: getattr(work, name, None) for name in names} | {"item": delivery.item.id}


handler = LambdaFunction(lambda: Batches(this_process()).handle)
