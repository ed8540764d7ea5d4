"""The whole backend in AWS: what it talks to, the names of what it owns there, and the ports on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from stepwell_orchestrator.aws.service import Service


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
    """The ports of one deployment."""

    @classmethod
    def of(cls, services: Services, names: Names) -> Self:
        """The ports on those services."""
        return cls()
