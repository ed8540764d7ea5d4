"""One queue item, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from stepwell_orchestrator.accepting.timetable import Timetable
from stepwell_orchestrator.engine.journal.retry import RetryPolicy
from stepwell_orchestrator.limits import ChangedLimits, Limits
from stepwell_orchestrator.model.notice import Observe, unobserved
from stepwell_orchestrator.model.queue_item import (
    Cancel,
    CancelMatching,
    CloseBatch,
    Deadline,
    Drive,
    Execute,
    FireDebounce,
    OpenGate,
    QueueItem,
    Rerun,
    Route,
    Settle,
    Start,
    Tick,
    TimerDue,
)
from stepwell_orchestrator.ports import Ports
from stepwell_orchestrator.worker.calling import Caller
from stepwell_orchestrator.worker.cancelling import Canceller
from stepwell_orchestrator.worker.committing import Committer
from stepwell_orchestrator.worker.discovering import Discoverer
from stepwell_orchestrator.worker.driving import Driver
from stepwell_orchestrator.worker.executing import Executor
from stepwell_orchestrator.worker.gateways import Gateways
from stepwell_orchestrator.worker.limiting.starting import Starter
from stepwell_orchestrator.worker.routing import Router
from stepwell_orchestrator.worker.settling import Settler
from stepwell_orchestrator.worker.ticking import Ticker
from stepwell_orchestrator.worker.tools import Tools


def _endless() -> int | None:
    """A process that is not about to be stopped."""
    return None


class Worker:
    """Carries out queue items. Safe to run any number of times at once, in any number of processes.

    ``changed_limits`` has those that differ for some functions. ``retry_delay_ms`` replaces the back-off table by a
    fixed delay; ``signing_keys`` sign call requests, the first one does; ``server_kind`` is announced to functions.
    ``stops_at_ms`` gives the epoch milliseconds from which on no more calls are begun: runs are handed over to another
    delivery.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        limits: Limits | None = None,
        changed_limits: ChangedLimits | None = None,
        observe: Observe = unobserved,
        retry_delay_ms: int | None = None,
        signing_keys: Sequence[str] = (),
        server_kind: str = "dev",
        stops_at_ms: Callable[[], int | None] = _endless,
    ) -> None:
        self._tools = Tools(
            ports.journal,
            ports.waits,
            ports.registry,
            ports.queue,
            ports.clock,
            limits or Limits(),
            RetryPolicy(retry_delay_ms),
            observe,
            stops_at_ms,
            changed_limits or ChangedLimits(),
            ports.flow,
        )
        caller = Caller(self._tools, ports.invoker, server_kind, signing_keys)
        committer = Committer(self._tools)
        self._driver = Driver(self._tools, committer, Discoverer(self._tools, caller, committer))
        gateways = Gateways(self._tools, caller, ports.fetcher)
        self._starter = Starter(self._tools, self._tools.keeper, self._driver)
        self.lines = self._tools.keeper.lines
        """The lines that this worker's runs stand in, for the sweep to look after."""
        self._executor = Executor(self._tools, caller, gateways, self._driver)
        self._settler = Settler(self._tools, self._driver)
        self._canceller = Canceller(self._tools)
        self._router = Router(self._tools, self._canceller)
        timetable = Timetable(ports.schedules, ports.registry, ports.queue, ports.clock)
        self._ticker = Ticker(self._tools, self._router, timetable)

    async def handle(self, item: QueueItem, deliveries: int) -> int | None:
        """Carry out one item, delivered for the ``deliveries``-th time.

        Returns None when it is done, or the epoch milliseconds at which it must be handed out again. An exception
        means the platform failed: the item stays leased and is redelivered.
        """
        match item.work:
            case Start() as work:
                return await self._starter.start(work, deliveries)
            case OpenGate(gate, not_before_ms):
                return await self._open_gate(gate, not_before_ms)
            case FireDebounce() as work:
                return await self._router.debouncer.fire(work)
            case CloseBatch() as work:
                return await self._router.batcher.close(work)
            case Drive(run_id):
                return await self._driver.drive(run_id, deliveries)
            case Execute() as work:
                return await self._executor.execute(work, deliveries)
            case TimerDue() as work:
                return await self._settler.settle_by_time(work, deliveries)
            case Settle() as work:
                return await self._settler.settle(work, deliveries)
            case Deadline() as work:
                return await self._canceller.enforce_deadline(work, item.due_at_ms)
            case Tick() as work:
                return await self._ticker.tick(work)
            case Route() | Cancel() | Rerun() | CancelMatching() as work:
                await self._do(work)
                return None
            case _:
                assert_never(item.work)

    async def _do(self, work: Route | Cancel | Rerun | CancelMatching) -> None:
        """Do what is done once it was done: no such item is to be handed out again."""
        match work:
            case Route(event_id):
                await self._router.route(event_id)
            case Cancel(run_id):
                await self._canceller.cancel(run_id)
            case Rerun():
                await self._router.rerun(work)
            case CancelMatching():
                await self._canceller.cancel_matching(work)
            case _:
                assert_never(work)

    async def _open_gate(self, gate: str, not_before_ms: int) -> int | None:
        """Send for those who may go. Returns when to come again: a rate's item may be early by this clock."""
        if self._tools.clock.now_ms() < not_before_ms:
            return not_before_ms
        await self._tools.keeper.lines.send_for_next(gate)
        return None
