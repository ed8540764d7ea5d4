"""The Schedules port on EventBridge Scheduler: a schedule a cron, which sends a tick into the queue at each time.

The service is a minute precise. It names the time that a message is for, so that a late one is still that tick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from stepwell.wire.encoding import encode
from stepwell_orchestrator.aws.gather_limited import gather_limited
from stepwell_orchestrator.aws.queue.recurrence import recurrence
from stepwell_orchestrator.aws.queue.schedules import target
from stepwell_orchestrator.aws.service import AwsError, Service
from stepwell_orchestrator.model.schedule import Schedule

_SCHEDULED_TIME: Final = "<aws.scheduler.scheduled-time>"
"""What the service replaces by the time of the tick, an RFC 3339 text in UTC."""


class RecurringSchedules:
    """The schedules of one deployment, in its group. All methods raise AwsError when the service cannot be asked."""

    def __init__(
        self, scheduler: Service, *, group: str, role_arn: str, queue_arn: str, dead_letter_queue_arn: str
    ) -> None:
        self._scheduler = scheduler
        self._group = group
        self._target = target(role_arn, queue_arn, dead_letter_queue_arn)

    def recurs(self, schedule: Schedule) -> bool:
        """Whether the service can say when it ticks."""
        return recurrence(schedule.line) is not None

    async def keep(self, schedules: Sequence[Schedule]) -> None:
        """Create the schedules, or bring them to what they are now. All of them must recur."""
        await gather_limited(self._keep, schedules)

    async def drop(self, schedules: Sequence[Schedule]) -> None:
        """Delete the schedules that there are."""
        await gather_limited(self._drop, schedules)

    async def _keep(self, schedule: Schedule) -> None:
        parameters = self._parameters(schedule)
        try:
            await self._scheduler.call("create_schedule", ClientToken=parameters["Name"], **parameters)
        except AwsError as error:
            if error.code != "ConflictException":
                raise
            await self._scheduler.call("update_schedule", **parameters)

    async def _drop(self, schedule: Schedule) -> None:
        try:
            await self._scheduler.call("delete_schedule", Name=recurring_name(schedule), GroupName=self._group)
        except AwsError as error:
            if error.code != "ResourceNotFoundException":
                raise

    def _parameters(self, schedule: Schedule) -> dict[str, Any]:
        line = schedule.line
        return {
            "Name": recurring_name(schedule),
            "GroupName": self._group,
            "Description": f"stepwell: {schedule.function_id}, {schedule.cron}"[:512],
            "ScheduleExpression": recurrence(line),
            "ScheduleExpressionTimezone": line.zone,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {**self._target, "Input": tick_message(schedule)},
        }


def recurring_name(schedule: Schedule) -> str:
    """The one name of a function's cron."""
    digest = hashlib.blake2b(f"{schedule.function_id}\0{schedule.cron}".encode(), digest_size=24)
    return f"cron-{digest.hexdigest()}"


def tick_message(schedule: Schedule) -> str:
    """The message of a tick, due at once, in which the service puts the time."""
    work = ["tick", schedule.function_id, schedule.cron, _SCHEDULED_TIME, True]
    item_id = f"{recurring_name(schedule)}:{_SCHEDULED_TIME}"
    return encode({"id": item_id, "due_at_ms": 0, "deliveries": 0, "work": work}).decode()
