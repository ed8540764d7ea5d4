"""The Lambda function on the queue: a batch of items at once, each done, handed back, or reported as failed alone.

| what happens to an item              | its message                  | when it comes again                  | test    |
| ------------------------------------ | ---------------------------- | ------------------------------------ | ------- |
| it is done                           | is deleted by Lambda         | never                                | 1       |
| its worker names a time              | is done: a new one is queued | then                                 | 2       |
| it came early                        | is done: a new one is queued | when it is due; this delivery does   | 3       |
|                                      |                              | not count                            |         |
| it met a throttle                    | is done: a new one is queued | a lease later, however often that    | 4       |
|                                      |                              | happens                              |         |
| it fails, or its signing key is      | is reported as failed        | a lease later; in the end from the   | 1, 5, 6 |
| missing                              |                              | dead letters                         |         |
| handing it back fails                | is reported as failed        | a lease later                        | 7       |
| it takes as long as the function     | is reported as failed        | a lease later                        | 8       |
| lives                                |                              |                                      |         |
| the function is killed               | stays leased                 | a lease later                        | 9       |

1. ``tests/orchestrator/entry/aws/test_queue.py::test_one_failure_is_one_failure``
2. ``tests/orchestrator/entry/aws/test_queue.py::test_an_item_that_is_to_come_again_does``
3. ``tests/orchestrator/entry/aws/test_queue.py::test_an_early_item_is_not_worked_on``
4. ``tests/orchestrator/entry/aws/test_queue.py::test_a_throttle_is_nobodys_failure``
5. ``tests/orchestrator/entry/aws/test_queue.py::test_a_failed_item_comes_back_when_its_lease_ends``
6. ``tests/orchestrator/entry/aws/test_queue.py::test_keys_that_cannot_be_read_fail_the_items``
7. ``tests/orchestrator/entry/aws/test_queue.py::test_a_lost_handing_back_leaves_the_message``
8. ``tests/orchestrator/entry/aws/test_queue.py::test_a_batch_ends_before_lambda_ends_it``
9. ``tests/orchestrator/aws/queue/test_visibility.py::test_items_of_a_consumer_that_died_come_back_after_a_lease``
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from stepwell.errors import StepwellError, WireError
from stepwell.wire.times import format_instant
from stepwell_orchestrator.aws.queue.messages import Delivery, Poison, receive
from stepwell_orchestrator.aws.service import AwsError
from stepwell_orchestrator.entry.aws.assemble import Deployment, this_process
from stepwell_orchestrator.entry.aws.function import LambdaFunction
from stepwell_orchestrator.entry.aws.logs import about
from stepwell_orchestrator.limits import THROTTLED_REDELIVERY_MS

SUSPICIOUS_DELIVERIES: Final = 10
"""From so many deliveries on, each is worth a warning: what it fails by does not seem to pass."""

_log = logging.getLogger("stepwell.queue")


class Batches:
    """Works on batches of queue items.

    The messages of a batch are leased while it lasts, and each comes to its own end: done, handed back, or failed.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """Work on one batch. Returns an answer that names the messages that are not done.

        Raises WireError for an event that is no batch of SQS messages.
        """
        received = [receive(record) for record in _records(event)]
        if not received:
            return {"batchItemFailures": []}
        deadline = self._deployment.deadline
        deadline.begin(context.get_remaining_time_in_millis())
        failed = {message.message_id: message for message in received}
        async with self._deployment.backend.visibility.leased(one.receipt_handle for one in received) as leased:
            tasks = [asyncio.create_task(self._finish(one, leased)) for one in received]
            with suppress(TimeoutError):
                async with deadline.alive():
                    await asyncio.wait(tasks)
        for task in tasks:
            if task.done():
                failed.pop(task.result() or "", None)
            else:
                task.cancel()
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    async def _finish(self, message: Delivery | Poison, leased: set[str]) -> str | None:
        """Work on a message's item. Returns the message's id when it is done, and None when it failed.

        One that failed is renewed no more and comes back when its lease ends.
        """
        if isinstance(message, Poison):
            _log.error("a message cannot be read: %s", message.reason, extra={"message_id": message.message_id})
        elif await self._work_on(message):
            return message.message_id
        leased.discard(message.receipt_handle)
        with suppress(StepwellError):
            await self._deployment.backend.visibility.hide([message.receipt_handle])
        return None

    async def _work_on(self, delivery: Delivery) -> bool:
        """Work on an item, and hand it back if it is to come again. Returns False when that failed."""
        item = delivery.item
        with about(**_subject(delivery)):
            try:
                again_at_ms = await self._handle_item(delivery)
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

    async def _handle_item(self, delivery: Delivery) -> int | None:
        """Have the worker handle an item, unless it came early. Returns when it is to be handed out again, if ever."""
        if self._deployment.clock.now_ms() < delivery.item.due_at_ms:
            return delivery.item.due_at_ms
        await self._deployment.signing_keys.refresh()
        try:
            return await self._deployment.worker.handle(delivery.item, delivery.deliveries)
        except AwsError as error:
            if not error.throttled:
                raise
            # Nobody is at fault, so it is not to end in the dead letter queue; by then what it holds has run out.
            _log.warning("queue item %s comes again in %d ms: %s", delivery.item.id, THROTTLED_REDELIVERY_MS, error)
            return self._deployment.clock.now_ms() + THROTTLED_REDELIVERY_MS


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
