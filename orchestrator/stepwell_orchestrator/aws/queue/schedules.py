"""Far timers: one-time schedules of EventBridge Scheduler that put a message into the queue when its time is near."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

from stepwell.wire.times import DAY_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.aws.service import AwsError, Service
from stepwell_orchestrator.model.queue_item import QueueItem

LEAD_MS: Final = 2 * MINUTE_MS
"""How long before an item is due its schedule fires: the service is a minute precise, what is left is a delay."""
FARTHEST_MS: Final = 400 * DAY_MS
"""An item that is due even later passes through the queue on its way."""
INPUT_BYTES_MAX: Final = 256_000
"""The service takes 256 KB."""
RETRY_POLICY: Final = {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 24 * 60 * 60}
"""How long the service tries to send a message that the queue does not take: the most it offers."""


class Schedules:
    """The schedules of one deployment: a group of its own, and a role that may send to the queue.

    What cannot be sent for a day the service puts into the dead letter queue, from where it is redriven.
    """

    def __init__(
        self, scheduler: Service, *, group: str, role_arn: str, queue_arn: str, dead_letter_queue_arn: str
    ) -> None:
        self._scheduler = scheduler
        self._group = group
        self._target = target(role_arn, queue_arn, dead_letter_queue_arn)

    async def create(self, item: QueueItem, body: str, now_ms: int) -> None:
        """Have ``body`` sent LEAD_MS before the item is due; the item's second schedule is its first one.

        The message has no group: Scheduler offers one only for FIFO queues, and the message goes around once more
        anyway. Raises AwsError.
        """
        at_ms = fires_at_ms(item, now_ms)
        name = schedule_name(item.id, at_ms)
        try:
            await self._scheduler.call(
                "create_schedule",
                Name=name,
                GroupName=self._group,
                ClientToken=name,
                ScheduleExpression=at_expression(at_ms),
                ScheduleExpressionTimezone="UTC",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target={**self._target, "Input": body},
            )
        except AwsError as error:
            if error.code != "ConflictException":
                raise


def target(role_arn: str, queue_arn: str, dead_letter_queue_arn: str) -> dict[str, Any]:
    """Where the service sends messages, and as whom; what goes wrong there ends among the dead letters."""
    return {
        "Arn": queue_arn,
        "RoleArn": role_arn,
        "RetryPolicy": RETRY_POLICY,
        "DeadLetterConfig": {"Arn": dead_letter_queue_arn},
    }


def fires_at_ms(item: QueueItem, now_ms: int) -> int:
    """When the schedule of an item fires at the earliest; the service adds up to a minute."""
    at_ms = min(item.due_at_ms, now_ms + FARTHEST_MS) - LEAD_MS
    return at_ms - at_ms % SECOND_MS


def schedule_name(item_id: str, at_ms: int) -> str:
    """One name for one item at one time.

    With the time, because a schedule is only removed some time after it fired: until then its name is taken, and the
    item may have been postponed in between.
    """
    return hashlib.blake2b(f"{at_ms}:{item_id}".encode(), digest_size=24).hexdigest()


def at_expression(at_ms: int) -> str:
    """A time in whole seconds, as one-time schedules spell it; to be read in UTC."""
    return f"at({datetime.fromtimestamp(at_ms // SECOND_MS, UTC):%Y-%m-%dT%H:%M:%S})"
