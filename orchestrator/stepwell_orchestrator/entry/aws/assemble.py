"""The composition root in AWS: one process of a deployment, of which each function uses what it needs."""

from __future__ import annotations

import secrets
from functools import cache, cached_property
from typing import TYPE_CHECKING, Final

from stepwell.wire.times import DAY_MS
from stepwell_orchestrator.aws.backend import AwsBackend
from stepwell_orchestrator.aws.clients import Clients
from stepwell_orchestrator.aws.invoke_lambda import LambdaInvoker
from stepwell_orchestrator.aws.queue.dead_letters import DeadLetters
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.entry.aws.deadline import BoundedFetcher, BoundedInvoker, Deadline
from stepwell_orchestrator.entry.aws.invokers import ChoosingInvoker
from stepwell_orchestrator.entry.aws.logs import log_notice, set_up_logs
from stepwell_orchestrator.entry.aws.secrets import SecretKeys, event_keys, signing_keys
from stepwell_orchestrator.entry.aws.settings import DeployedSettings, read_deployed_settings
from stepwell_orchestrator.fresh_ids import Entropy, FreshIds
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.local.clock import SystemClock
from stepwell_orchestrator.ports import Clock, Ports
from stepwell_orchestrator.transports.egress import allowed
from stepwell_orchestrator.transports.fetch_http import HttpFetcher
from stepwell_orchestrator.transports.invoke_http import HttpInvoker
from stepwell_orchestrator.worker import Worker

if TYPE_CHECKING:
    from stepwell_orchestrator.accepting.checkpointing import Checkpointer
    from stepwell_orchestrator.accepting.ingest import Ingest
    from stepwell_orchestrator.accepting.register import Register
    from stepwell_orchestrator.accepting.timetable import Timetable
    from stepwell_orchestrator.controlling.control import Control

SERVER_KIND: Final = "cloud"


class Deployment:
    """What a process works with; each part is made when it is first asked for, and then kept."""

    def __init__(
        self,
        settings: DeployedSettings,
        clients: Clients,
        *,
        clock: Clock | None = None,
        entropy: Entropy = secrets.token_bytes,
    ) -> None:
        self.settings = settings
        self.clients = clients
        self.clock = clock or SystemClock()
        self.deadline = Deadline(self.clock)
        self._entropy = entropy

    @cached_property
    def backend(self) -> AwsBackend:
        """The ports on AWS."""
        retention = Retention(self.settings.retention_days * DAY_MS)
        return AwsBackend.of(self.clients.services, self.settings.names, self.clock, self._entropy, retention)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """What the queue gave up on."""
        backend, names = self.backend, self.settings.names
        return DeadLetters(
            self.clients.services.sqs, backend.queue, backend.journal, self.clock, url=names.dead_letter_queue_url
        )

    @cached_property
    def signing_keys(self) -> SecretKeys:
        """What calls are signed with, and the API is asked with."""
        return signing_keys(self.clients.secrets, self.clock, self.settings.signing_key_secret)

    @cached_property
    def event_keys(self) -> SecretKeys:
        """What events are sent with."""
        return event_keys(self.clients.secrets, self.clock, self.settings.event_key_secret)

    @cached_property
    def invoker(self) -> ChoosingInvoker:
        """What reaches functions."""
        return ChoosingInvoker(LambdaInvoker(self.clients.functions, self.clock), HttpInvoker())

    @cached_property
    def worker(self) -> Worker:
        """What works on queue items, within the deadline."""
        return Worker(
            Ports(
                self.backend.journal,
                self.backend.waits,
                self.backend.registry,
                self.backend.queue,
                BoundedInvoker(self.invoker, self.deadline),
                self.clock,
                BoundedFetcher(HttpFetcher(allowed(self.settings.gateway_allow)), self.deadline),
                self.backend.schedules,
                flow=self.backend.flow,
            ),
            observe=log_notice,
            signing_keys=self.signing_keys.values,
            server_kind=SERVER_KIND,
            stops_at_ms=self.deadline.stops_at_ms,
        )

    @cached_property
    def timetable(self) -> Timetable:
        """Which schedules tick."""
        from stepwell_orchestrator.accepting.timetable import Timetable

        backend = self.backend
        return Timetable(backend.schedules, backend.registry, backend.queue, self.clock)

    @cached_property
    def register(self) -> Register:
        """What takes registrations."""
        from stepwell_orchestrator.accepting.register import Register

        return Register(self.backend.registry, self.timetable, self.clock, log_notice)

    @cached_property
    def ingest(self) -> Ingest:
        """What takes events."""
        from stepwell_orchestrator.accepting.ingest import Ingest

        return Ingest(self.backend.journal, self.backend.queue, self.clock, self._ids, log_notice)

    @cached_property
    def control(self) -> Control:
        """What people may do to runs."""
        from stepwell_orchestrator.controlling.control import Control

        return Control(
            self.backend.journal,
            self.backend.waits,
            self.backend.registry,
            self.backend.queue,
            self.clock,
            ids=self._ids,
            handle=self.worker.handle,
            observe=log_notice,
        )

    @cached_property
    def checkpointer(self) -> Checkpointer:
        """What saves steps while their call goes on."""
        from stepwell_orchestrator.accepting.checkpointing import Checkpointer

        return Checkpointer(self.backend.journal, self.clock, Limits(), log_notice)

    @cached_property
    def _ids(self) -> FreshIds:
        return FreshIds(self.clock, self._entropy)


@cache
def this_process() -> Deployment:
    """The deployment as the environment describes it. Raises DefinitionError naming a variable that is missing."""
    settings = read_deployed_settings()
    set_up_logs(settings.log_level)
    return Deployment(settings, Clients())
