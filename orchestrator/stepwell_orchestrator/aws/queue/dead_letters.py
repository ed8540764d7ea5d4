"""The dead letter queue, from where items come back by themselves: first at once, then less and less often.

What is there was given up by the work queue after too many deliveries, or by the scheduler, which could not send it.
An item is a wish to look at something, so that it may come back twice, and after whatever it was for has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, Protocol

from stepwell.errors import StepwellError, WireError
from stepwell.wire.encoding import decode
from stepwell.wire.times import DAY_MS, HOUR_MS, format_instant
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.queue.messages import Delivery, Poison, read_message
from stepwell_orchestrator.aws.queue.queue import SqsQueue
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.ports import Clock

_BATCH: Final = 10
_BATCHES_MAX: Final = 50
_HIDDEN_S: Final = 120
"""What one look received, the same look does not receive again."""

_log = logging.getLogger("stepwell.queue")


class Marks(Protocol):
    """Where what is wrong with a run is noted."""

    async def note_trouble(self, run_id: str, trouble: str) -> None:
        """Note it on a run that has not ended."""


class DeadLetters:
    """The dead letter queue of one deployment. What nobody can read stays there, for people."""

    def __init__(self, sqs: Service, queue: SqsQueue, marks: Marks, clock: Clock, *, url: str) -> None:
        self._sqs = sqs
        self._queue = queue
        self._marks = marks
        self._clock = clock
        self._url = url

    async def redrive(self) -> int:
        """Queue the items anew that are there, up to 500; how many. Raises StoreError, and then some may be queued.

        A message is deleted after its item was queued: whoever dies in between leaves it to be queued twice.
        """
        count = 0
        for _ in range(_BATCHES_MAX):
            response = await self._sqs.call(
                "receive_message",
                QueueUrl=self._url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=_HIDDEN_S,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
            messages = response.get("Messages", ())
            if not messages:
                break
            count += sum(await gather_limited(self._redrive, messages))
        return count

    async def _redrive(self, message: Mapping[str, Any]) -> bool:
        received = int(message["Attributes"]["ApproximateReceiveCount"])
        dead = read_message(message["MessageId"], message["ReceiptHandle"], received, _sent(message["Body"]))
        if isinstance(dead, Poison):
            _log.error("in the dead letter queue: %s", dead.reason, extra={"message_id": dead.message_id})
            return False
        at_ms = self._clock.now_ms() + back_off_ms(dead.redrives)
        await self._queue.redrive(dead, at_ms)
        await self._sqs.call("delete_message", QueueUrl=self._url, ReceiptHandle=dead.receipt_handle)
        await self._tell(dead, at_ms)
        return True

    async def _tell(self, dead: Delivery, at_ms: int) -> None:
        trouble = (
            f"queue item {dead.item.id} ended in the dead letter queue and was queued again (redrive "
            f"{dead.redrives + 1}), to be tried from {format_instant(at_ms)} on; the log of the queue function says why"
        )
        run_id: str | None = getattr(dead.item.work, "run_id", None)
        _log.error("%s", trouble, extra={"item": dead.item.id, "run_id": run_id})
        if run_id is None:
            return
        try:
            await self._marks.note_trouble(run_id, trouble)
        except StepwellError:
            _log.warning("run %s could not be marked", run_id, exc_info=True)


def back_off_ms(redrives: int) -> int:
    """How long an item that came back so often waits: not at all, an hour, two, four, up to a day."""
    return min(HOUR_MS << min(redrives - 1, 5), DAY_MS) if redrives else 0


def _sent(body: str) -> str:
    """A message's text; the scheduler may tell it within the request that it could not make."""
    try:
        request = decode(body.encode())
    except WireError:
        return body
    inner = request.get("MessageBody") if isinstance(request, Mapping) else None
    return inner if isinstance(inner, str) else body
