"""The whole backend in AWS: what it talks to, the names of what it owns there, and the ports on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from stepwell_orchestrator.aws.queue import SqsQueue
from stepwell_orchestrator.aws.schedules import Schedules
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.visibility import Visibility
from stepwell_orchestrator.aws.waits import DynamoWaits
from stepwell_orchestrator.ports import Clock


@dataclass(frozen=True, slots=True)
class Services:
    """The services a backend talks to."""

    dynamodb: Service
    s3: Service
    sqs: Service
    scheduler: Service


@dataclass(frozen=True, slots=True)
class Names:
    """What one deployment owns."""

    table: str
    bucket: str
    queue_url: str
    queue_arn: str
    schedule_group: str
    schedule_role_arn: str


@dataclass(frozen=True, slots=True)
class AwsBackend:
    """The ports of one deployment, and the leases on what its queue handed out."""

    waits: DynamoWaits
    queue: SqsQueue
    visibility: Visibility

    @classmethod
    def of(cls, services: Services, names: Names, clock: Clock) -> Self:
        """The ports on those services."""
        schedules = Schedules(
            services.scheduler, group=names.schedule_group, role_arn=names.schedule_role_arn, queue_arn=names.queue_arn
        )
        return cls(
            waits=DynamoWaits(services.dynamodb, table=names.table),
            queue=SqsQueue(services.sqs, schedules, clock, url=names.queue_url),
            visibility=Visibility(services.sqs, clock, url=names.queue_url),
        )
