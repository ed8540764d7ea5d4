"""One deployment in this process: a table, a bucket, a queue and a schedule group on moto, made anew in milliseconds.

No network, no credentials but made-up ones, nothing in the environment; any number of beds stand side by side.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from moto import mock_aws
from moto.sqs.models import sqs_backends

from stepwell_orchestrator.aws.backend import AwsBackend, Names, Services
from stepwell_orchestrator.aws.payloads.blobs import WholeObjects
from stepwell_orchestrator.aws.service import Carry, Meter, Service, inline
from stepwell_orchestrator.aws.table import table
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from tests.orchestrator.aws import strict, strict_timers
from tests.orchestrator.aws.faults import FaultyClient
from tests.orchestrator.aws.straight import StraightDynamo

SERVICES = ("dynamodb", "s3", "sqs", "scheduler")
_numbers = itertools.count(1)


@cache
def _client(service: str) -> Any:
    """A client that can reach nothing but moto. Making one takes longer than most tests."""
    session = boto3.session.Session(aws_access_key_id="made-up", aws_secret_access_key="made-up")
    signing = {"signature_version": "s3v4"} if service == "s3" else {}
    config = Config(region_name=strict.REGION, retries={"total_max_attempts": 1}, **signing)
    client = session.client(service, config=config)
    return WholeObjects(client) if service == "s3" else client


@dataclass
class Bed:
    """One deployment. ``clients`` let faults in; ``backend()`` is one process of it, of which there may be several."""

    names: Names
    clients: dict[str, FaultyClient] = field(default_factory=dict)
    clock: VirtualClock = field(default_factory=VirtualClock)
    seeds: Iterator[int] = field(default_factory=itertools.count)

    def services(self, carry: Carry = inline, meter: Meter | None = None) -> Services:
        """The services as a process of the deployment sees them."""
        return Services(**{name: Service(name, client, carry, meter) for name, client in self.clients.items()})

    def backend(self, carry: Carry = inline, meter: Meter | None = None) -> AwsBackend:
        """Another process of the deployment."""
        entropy = random.Random(next(self.seeds)).randbytes
        return AwsBackend.of(self.services(carry, meter), self.names, self.clock, entropy)

    @property
    def dynamodb(self) -> FaultyClient:
        """The database's client."""
        return self.clients["dynamodb"]

    @property
    def s3(self) -> FaultyClient:
        """The bucket's client."""
        return self.clients["s3"]

    def expire(self, now_ms: int) -> int:
        """Remove the items whose time is up; how many."""
        return strict.expire(self.names.table, now_ms)

    def fire_schedules(self, now_ms: int) -> list[strict.Fired]:
        """The one-time schedules that are due."""
        return strict.fire_schedules(self.names.schedule_group, now_ms)

    def items(self) -> list[dict[str, Any]]:
        """Everything in the table."""
        return [item.to_json()["Attributes"] for item in strict.table(self.names.table).all_items()]

    def next_at_ms(self) -> int | None:
        """When the next message appears or the next schedule fires."""
        queue = sqs_backends[strict.ACCOUNT][strict.REGION].queues[self.names.queue_url.rpartition("/")[2]]
        times = [max(message.delayed_until, message.visible_at + 1) for message in queue._messages]
        times += strict.schedule_times(self.names.schedule_group)
        return int(max(min(times), self.clock.now_ms())) if times else None


@contextmanager
def a_bed(*, straight: bool = False) -> Iterator[Bed]:
    """An empty deployment, gone afterwards. ``straight``: with a short way to the database."""
    strict.install()
    with mock_aws(config={"core": {"mock_credentials": False, "reset_boto3_session": False}}):
        strict.forget_tokens()
        clients = {name: _client(name) for name in SERVICES}
        names = _made(clients, next(_numbers))
        if straight:
            clients["dynamodb"] = StraightDynamo()
        bed = Bed(names, {name: FaultyClient(client) for name, client in clients.items()})
        with strict_timers.going_by(bed.clock.now_ms):
            yield bed


def _made(clients: dict[str, Any], number: int) -> Names:
    name = f"stepwell-{number}"
    clients["dynamodb"].create_table(TableName=name, **table.SCHEMA)
    clients["dynamodb"].update_time_to_live(TableName=name, TimeToLiveSpecification=table.TTL_SPECIFICATION)
    clients["s3"].client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": strict.REGION})
    queue_urls = [clients["sqs"].create_queue(QueueName=each)["QueueUrl"] for each in (name, f"{name}-dead")]
    clients["scheduler"].create_schedule_group(Name=name)
    return Names(
        table=name,
        bucket=name,
        queue_url=queue_urls[0],
        queue_arn=f"arn:aws:sqs:{strict.REGION}:{strict.ACCOUNT}:{name}",
        dead_letter_queue_url=queue_urls[1],
        dead_letter_queue_arn=f"arn:aws:sqs:{strict.REGION}:{strict.ACCOUNT}:{name}-dead",
        schedule_group=name,
        schedule_role_arn=f"arn:aws:iam::{strict.ACCOUNT}:role/{name}-schedules",
    )
