"""One queue item, whatever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from stepwell_orchestrator.engine import ending
from stepwell_orchestrator.engine.recover import recover
from stepwell_orchestrator.engine.resume import wake
from stepwell_orchestrator.engine.retry import RetryPolicy
from stepwell_orchestrator.engine.telling import step_notice
from stepwell_orchestrator.errors import ConflictError
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.model.decision import Decision, EndRun
from stepwell_orchestrator.model.notice import Notice, NoticeKind, Observe
from stepwell_orchestrator.model.queue_item import Cancel, Drive, Execute, QueueItem, Route, TimerDue
from stepwell_orchestrator.ports import Clock, Invoker, Journal, Queue, Registry
from stepwell_orchestrator.worker.calling import Caller
from stepwell_orchestrator.worker.driving import Driver
from stepwell_orchestrator.worker.executing import Executor
from stepwell_orchestrator.worker.routing import Router
from stepwell_orchestrator.worker.tools import Tools


def _unobserved(_notice: Notice) -> None:
    """Nobody watches."""


class Worker:
    """Carries out queue items. Safe to run any number of times at once, in any number of processes.

    ``retry_delay_ms`` replaces the back-off table by a fixed delay; ``signing_keys`` sign call requests, the first
    one does; ``server_kind`` is announced to functions.
    """

    def __init__(
        self,
        journal: Journal,
        registry: Registry,
        queue: Queue,
        invoker: Invoker,
        clock: Clock,
        *,
        limits: Limits | None = None,
        observe: Observe = _unobserved,
        retry_delay_ms: int | None = None,
        signing_keys: Sequence[str] = (),
        server_kind: str = "dev",
    ) -> None:
        self._tools = Tools(journal, registry, queue, clock, limits or Limits(), RetryPolicy(retry_delay_ms), observe)
        caller = Caller(self._tools, invoker, server_kind, signing_keys)
        self._driver = Driver(self._tools, caller)
        self._executor = Executor(self._tools, caller, self._driver)
        self._router = Router(self._tools)

    async def handle(self, item: QueueItem, deliveries: int) -> int | None:
        """Carry out one item, delivered for the ``deliveries``-th time.

        Returns None when it is done, or the epoch milliseconds at which it must be handed out again. An exception
        means the platform failed: the item stays leased and is redelivered.
        """
        match item.work:
            case Route(event_id):
                await self._router.route(event_id)
                return None
            case Drive(run_id):
                return await self._driver.drive(run_id, deliveries)
            case Execute() as work:
                return await self._executor.execute(work, deliveries)
            case TimerDue() as work:
                return await self._timer(work, deliveries)
            case Cancel(run_id):
                await self._cancel(run_id)
                return None
            case _:
                assert_never(item.work)

    async def _timer(self, work: TimerDue, deliveries: int) -> int | None:
        """Settle the step whose time has come, then ask to drive; never before its time."""
        entry = await self._tools.journal.get_entry(work.run_id, work.step_id)
        if entry is None:
            return None
        now_ms = self._tools.clock.now_ms()
        if entry.pending:
            if entry.due_at_ms is not None and entry.due_at_ms > now_ms:
                return entry.due_at_ms
            put = wake(entry, now_ms)
            try:
                await self._tools.journal.commit(work.run_id, [put], term=None)
            except ConflictError:
                return await self._driver.drive(work.run_id, deliveries)
            header = await self._tools.journal.get_header(work.run_id)
            assert header is not None, f"run {work.run_id} has an entry but no header"
            self._tools.observe(step_notice(header, put.entry, NoticeKind.STEP_COMPLETED, now_ms))
        return await self._driver.drive(work.run_id, deliveries)

    async def _cancel(self, run_id: str) -> None:
        """End a run as cancelled unless it has ended; a repeat finishes what a crash left undone."""
        run = await self._tools.journal.load(run_id)
        if run is None:
            return
        decision = Decision((EndRun(ending.cancelled(self._tools.clock.now_ms())),))
        try:
            await self._tools.journal.commit(run_id, decision.writes, term=None)
            self._tools.tell(run.header, decision)
        except ConflictError:
            pass
        ended = await self._tools.existing(run_id)
        await self._tools.dispatch(recover(ended, self._tools.clock.now_ms()))
