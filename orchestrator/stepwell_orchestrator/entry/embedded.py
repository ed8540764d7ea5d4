"""The whole engine in one process: what the dev server, the demo and tests are made of."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stepwell_orchestrator.accepting.checkpointing import Checkpointer
from stepwell_orchestrator.accepting.ingest import Ingest
from stepwell_orchestrator.accepting.register import Register, Synced
from stepwell_orchestrator.accepting.timetable import Timetable
from stepwell_orchestrator.controlling.control import Control
from stepwell_orchestrator.controlling.waiting_for import WaitsOfRuns
from stepwell_orchestrator.controlling.waits_of_events import WaitsOfEvents
from stepwell_orchestrator.entry.in_process import in_process_app, in_process_url
from stepwell_orchestrator.entry.in_process_transport import InProcessTransport
from stepwell_orchestrator.entry.settings import server_kind
from stepwell_orchestrator.fresh_ids import Entropy, FreshIds
from stepwell_orchestrator.limits import ChangedLimits, Limits
from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.local.clock import SystemClock
from stepwell_orchestrator.local.database import Synchronous
from stepwell_orchestrator.model.notice import Observe, unobserved
from stepwell_orchestrator.ports import Clock, HttpReply, Ports
from stepwell_orchestrator.schedules import NoSchedules
from stepwell_orchestrator.transports.egress import LOOPBACK, allowed
from stepwell_orchestrator.transports.fetch_http import HttpFetcher
from stepwell_orchestrator.transports.invoke_asgi import IN_PROCESS_ORIGIN, InProcessInvoker
from stepwell_orchestrator.transports.invoke_http import HttpInvoker
from stepwell_orchestrator.worker import Worker
from stepwell_orchestrator.worker.pump import CONCURRENCY_DEFAULT, STOP_GRACE_MS, Pump

if TYPE_CHECKING:
    from stepwell.authoring.app import App
    from stepwell.values.event import Event

_log = logging.getLogger("stepwell.embedded")


class Embedded:
    """Journal, registry, queue, ingest, worker and pump on one SQLite file, or in memory when ``database`` is None.

    An async context manager: on the way in it starts working, on the way out it finishes what is under way and closes
    the file; runs that are not over go on when the file is next opened. ``retry_delay_ms`` replaces the back-off table
    by a fixed delay; ``grace_ms`` bounds the wait for calls under way at the end. ``gateway_allow`` names the hosts and
    networks that requests on behalf of steps may reach beside public addresses. Raises StoreError when the file cannot
    be opened, or another process has it open, and DefinitionError for an entry of ``gateway_allow``.
    """

    def __init__(
        self,
        database: Path | None = None,
        *,
        clock: Clock | None = None,
        observe: Observe = unobserved,
        limits: Limits | None = None,
        retry_delay_ms: int | None = None,
        synchronous: Synchronous = Synchronous.NORMAL,
        signing_keys: Sequence[str] = (),
        concurrency: int = CONCURRENCY_DEFAULT,
        grace_ms: int = STOP_GRACE_MS,
        gateway_allow: Sequence[str] = LOOPBACK,
        entropy: Entropy = secrets.token_bytes,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.http = HttpInvoker()
        self.in_process = InProcessInvoker()
        self._fetcher = HttpFetcher(allowed(gateway_allow))
        self._backend = LocalBackend.open(database, synchronous=synchronous)
        self.journal = self._backend.journal
        self.waits = self._backend.waits
        self.registry = self._backend.registry
        self.queue = self._backend.queue
        self.changed_limits = ChangedLimits()
        self.worker = Worker(
            self._ports(),
            limits=limits,
            changed_limits=self.changed_limits,
            observe=observe,
            retry_delay_ms=retry_delay_ms,
            signing_keys=signing_keys,
            server_kind=server_kind(signing_keys),
        )
        ids = FreshIds(self.clock, entropy)
        self.ingest = Ingest(self.journal, self.queue, self.clock, ids, observe)
        self.register = Register(self.registry, _timetable(self._backend, self.clock), self.clock, observe)
        self.control = Control(
            self.journal,
            self.waits,
            self.registry,
            self.queue,
            self.clock,
            ids=ids,
            handle=self.worker.handle,
            observe=observe,
        )
        self.checkpointer = Checkpointer(self.journal, self.clock, limits or Limits(), observe)
        self.pump = Pump(
            self.queue,
            self.worker.handle,
            self.clock,
            journal=self.journal,
            lines=self.worker.lines,
            concurrency=concurrency,
        )
        self._grace_ms = grace_ms
        self._served: list[App] = []
        self._pumping: asyncio.Task[None] | None = None

    def _ports(self) -> Ports:
        return Ports(
            self.journal,
            self.waits,
            self.registry,
            self.queue,
            _EitherInvoker(self.in_process, self.http),
            self.clock,
            self._fetcher,
            flow=self._backend.flow,
        )

    @property
    def waits_of_runs(self) -> WaitsOfRuns:
        """What says why a run is not running."""
        return WaitsOfRuns(self._backend.flow, self.registry, self.clock)

    @property
    def waits_of_events(self) -> WaitsOfEvents:
        """What says why an event has started no run yet."""
        return WaitsOfEvents(self._backend.flow, self.registry, self.clock)

    async def __aenter__(self) -> Self:
        self._pumping = asyncio.create_task(self.pump.run(grace_ms=self._grace_ms))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._stop_pumping()
            await self.http.close()
            await self._fetcher.close()
        finally:
            for app in self._served:
                app.transport = None
            self._backend.close()

    async def serve(self, app: App) -> Synced:
        """Register an app and call its functions in this process; events and signals it sends come in here.

        Serving an app again takes its functions as they are now. Raises InvalidFunctionsError, and then what was
        registered before stays in force.
        """
        registration, endpoint = in_process_app(app, self.journal, self.clock)
        self.in_process.mount(in_process_url(app.id), endpoint)
        synced = await self.register.accept(registration.encode())
        app.transport = InProcessTransport(self.ingest, self.control, self.checkpointer, asyncio.get_running_loop())
        self._served.append(app)
        return synced

    async def send(self, events: Event | Sequence[Event]) -> list[str]:
        """Take one event in or several; returns their internal ids in order. Raises EventError."""
        batch = events if isinstance(events, Sequence) else [events]
        return await self.ingest.accept_events([event.to_wire() for event in batch], None)

    async def _stop_pumping(self) -> None:
        assert self._pumping is not None, "stopped before it was started"
        await self.pump.stop()
        self._pumping.cancel()
        results = await asyncio.gather(self._pumping, return_exceptions=True)
        failures = [result for result in results if isinstance(result, Exception)]
        if failures:
            _log.error("the pump had stopped", exc_info=failures[0])


def _timetable(backend: LocalBackend, clock: Clock) -> Timetable:
    return Timetable(NoSchedules(), backend.registry, backend.queue, clock)


class _EitherInvoker:
    """Calls apps of this process directly and all others over HTTP."""

    def __init__(self, in_process: InProcessInvoker, http: HttpInvoker) -> None:
        self._in_process = in_process
        self._http = http

    def body_bytes_max(self, url: str) -> int | None:
        return self._for(url).body_bytes_max(url)

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        return await self._for(url).call(url, headers, body)

    def _for(self, url: str) -> InProcessInvoker | HttpInvoker:
        return self._in_process if url.startswith(f"{IN_PROCESS_ORIGIN}/") else self._http
