"""The dead letter queue, from where items come back by themselves: first at once, then less and less often.

The work queue gives an item up after too many deliveries, the scheduler when it could not send it for a day. An item is
a wish to look at something, so it may come back twice, and after its run has ended.

| who dies or comes between            | the queues show            | who repeats it                           | test |
| ------------------------------------ | -------------------------- | ---------------------------------------- | ---- |
| the sweep dies before the item is    | a dead letter              | the next look, a quarter of an hour      | 1    |
| queued                               |                            | later                                    |      |
| the sweep dies before the dead       | the item in both           | the next look: the item is queued twice  | 1    |
| letter is deleted                    |                            |                                          |      |
| another sweep looks at the same time | dead letters out of sight  | nobody: for two minutes each has its own | 2    |
| the run ends before its item is back | an item of no use          | nobody: the worker finds the run over    | 3    |
| the item is not due yet              | the item, at its own time  | nobody                                   | 4    |
| the message is no item               | a dead letter              | every look says why; it stays for people | 5    |

1. ``tests/orchestrator/aws/queue/test_dead_letters.py::test_whoever_fails_on_the_way_loses_nothing``
2. ``tests/orchestrator/aws/queue/test_dead_letters.py::test_two_that_look_at_once_do_not_see_the_same``
3. ``tests/orchestrator/aws/queue/test_dead_letters.py::test_a_redrive_after_the_end_is_no_harm``
4. ``tests/orchestrator/aws/queue/test_dead_letters.py::test_an_item_that_is_not_due_comes_back_for_its_time``
5. ``tests/orchestrator/aws/queue/test_dead_letters.py::test_what_nobody_can_read_stays``
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
        """Queue up to 500 of its items anew. Returns how many. Raises StoreError, and then some may be queued."""
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
        """Queue a message's item anew, then delete the message. Returns False when it is no item, and stays."""
        received = int(message["Attributes"]["ApproximateReceiveCount"])
        dead = read_message(message["MessageId"], message["ReceiptHandle"], received, _sent_text(message["Body"]))
        if isinstance(dead, Poison):
            _log.error("in the dead letter queue: %s", dead.reason, extra={"message_id": dead.message_id})
            return False
        at_ms = self._clock.now_ms() + back_off_ms(dead.redrives)
        await self._queue.redrive(dead, at_ms)
        await self._sqs.call("delete_message", QueueUrl=self._url, ReceiptHandle=dead.receipt_handle)
        await self._tell(dead, at_ms)
        return True

    async def _tell(self, dead: Delivery, at_ms: int) -> None:
        """Log what became of an item, and note it on its run."""
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


def _sent_text(body: str) -> str:
    """Read a message's text, which the scheduler may wrap in the request that it could not make."""
    try:
        request = decode(body.encode())
    except WireError:
        return body
    inner = request.get("MessageBody") if isinstance(request, Mapping) else None
    return inner if isinstance(inner, str) else body
