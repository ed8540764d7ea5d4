"""The whole backend in AWS: what it talks to, the names of what it owns there, and the ports on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from stepwell_orchestrator.aws.payloads.blobs import Blobs
from stepwell_orchestrator.aws.queue.queue import SqsQueue
from stepwell_orchestrator.aws.queue.recurring import RecurringSchedules
from stepwell_orchestrator.aws.queue.schedules import Schedules
from stepwell_orchestrator.aws.queue.visibility import Visibility
from stepwell_orchestrator.aws.service import Service
from stepwell_orchestrator.aws.table.flow.batches import DynamoBatches
from stepwell_orchestrator.aws.table.flow.debounces import DynamoDebounces
from stepwell_orchestrator.aws.table.flow.gates import DynamoGates
from stepwell_orchestrator.aws.table.flow.rates import DynamoRates
from stepwell_orchestrator.aws.table.journal.journal import DynamoJournal
from stepwell_orchestrator.aws.table.registry import DynamoRegistry
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.aws.table.waits import DynamoWaits
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.fresh_ids import Entropy
from stepwell_orchestrator.ports import Clock


@dataclass(frozen=True, slots=True)
class Services:
    """The services a backend talks to. ``s3`` gives whole objects (``WholeObjects``)."""

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
    dead_letter_queue_url: str
    dead_letter_queue_arn: str
    schedule_group: str
    schedule_role_arn: str


@dataclass(frozen=True, slots=True)
class AwsBackend:
    """The ports of one deployment, and the leases on what its queue handed out."""

    journal: DynamoJournal
    waits: DynamoWaits
    registry: DynamoRegistry
    queue: SqsQueue
    schedules: RecurringSchedules
    visibility: Visibility
    flow: FlowPorts

    @classmethod
    def of(
        cls, services: Services, names: Names, clock: Clock, entropy: Entropy, retention: Retention | None = None
    ) -> Self:
        """The ports on those services. ``entropy`` tells this process's writes from others'."""
        scheduling = {
            "group": names.schedule_group,
            "role_arn": names.schedule_role_arn,
            "queue_arn": names.queue_arn,
            "dead_letter_queue_arn": names.dead_letter_queue_arn,
        }
        timers = Schedules(services.scheduler, **scheduling)
        blobs = Blobs(services.s3, bucket=names.bucket)
        return cls(
            journal=DynamoJournal(
                services.dynamodb, blobs, table=names.table, entropy=entropy, retention=retention or Retention()
            ),
            waits=DynamoWaits(services.dynamodb, table=names.table),
            registry=DynamoRegistry(services.dynamodb, clock, table=names.table, entropy=entropy),
            queue=SqsQueue(services.sqs, timers, clock, url=names.queue_url),
            schedules=RecurringSchedules(services.scheduler, **scheduling),
            visibility=Visibility(services.sqs, clock, url=names.queue_url),
            flow=FlowPorts(
                DynamoGates(services.dynamodb, table=names.table),
                DynamoRates(services.dynamodb, table=names.table),
                debounces=DynamoDebounces(services.dynamodb, table=names.table),
                batches=DynamoBatches(services.dynamodb, table=names.table, entropy=entropy),
            ),
        )
