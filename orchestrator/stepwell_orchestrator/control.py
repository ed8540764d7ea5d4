"""What people may do to runs: cancel them, run them again, send them a signal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from stepwell.wire.ids import is_ulid
from stepwell_orchestrator.engine import items, resume
from stepwell_orchestrator.engine.telling import step_notice
from stepwell_orchestrator.errors import ApiError, ConflictError
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import LEASE_MS
from stepwell_orchestrator.model.decision import Guard, PutEntry
from stepwell_orchestrator.model.notice import NoticeKind, Observe
from stepwell_orchestrator.model.queue_item import CancelMatching, QueueItem, SignalArrived
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.ports import Clock, Journal, Queue, Registry, Waits

Handle = Callable[[QueueItem, int], Awaitable[int | None]]
"""A worker's ``handle``: an item and how often it was delivered."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which runs to cancel: created from ``from_ms`` on, before ``until_ms``.

    ``function_id`` is spelled with or without its app's prefix.
    """

    app_id: str
    function_id: str
    from_ms: int | None
    until_ms: int
    expression: str | None


class Control:
    """Cancel, rerun, signal."""

    def __init__(
        self,
        journal: Journal,
        waits: Waits,
        registry: Registry,
        queue: Queue,
        clock: Clock,
        *,
        ids: FreshIds,
        handle: Handle,
        observe: Observe,
    ) -> None:
        self._journal = journal
        self._waits = waits
        self._registry = registry
        self._queue = queue
        self._clock = clock
        self._ids = ids
        self._handle = handle
        self._observe = observe

    async def cancel(self, run_id: str) -> None:
        """Cancel a run; of one that has ended, nothing happens.

        The wish is queued before it is acted upon, so it survives a crash. When this returns the run is over. Raises
        ApiError: 400 for what is no run id, 404 for an unknown run.
        """
        header = await find_run(self._journal, run_id)
        if header.outcome is not None:
            return
        item = items.cancel(run_id, self._clock.now_ms()).item
        await self._queue.send([item])
        await self._handle(item, 1)

    async def rerun(self, run_id: str) -> str:
        """Run a run's function again on the same events, from its start; returns the new run's id.

        Every call makes one more run. The wish is queued for later, then acted upon, so it survives a crash; when this
        returns, the run exists. Raises ApiError: 400 for what is no run id, 404 for an unknown run and for a
        function that is no longer registered.
        """
        original = await find_run(self._journal, run_id)
        if await self._registry.get_function(original.function_id) is None:
            message = f"function {original.function_id} is not registered any more; serve its app and sync it"
            raise ApiError(404, message, code="function_not_found")
        rerun_id, now_ms = self._ids.draw(), self._clock.now_ms()
        item = items.rerun(rerun_id, run_id, now_ms).item
        await self._queue.send([replace(item, due_at_ms=now_ms + LEASE_MS)])
        await self._handle(item, 1)
        return rerun_id

    async def signal(self, name: str, data: Any) -> str | None:
        """Resume the run that waits for a signal; its id, or None when nobody waits.

        It is queued for later, then committed, then the run is queued for now. Of several signals, or a timeout, one
        wins, and only the winner is told so: what is queued for later comes after every commit, unless a crash came
        first. Whatever crashes, the run goes on. A run that is over waits for nothing, even while it is still filed as
        the waiter; one that ends meanwhile counts as resumed before its end.
        """
        now_ms = self._clock.now_ms()
        wait = await self._waits.get_signal(name)
        if wait is None or wait.expires_at_ms <= now_ms:
            return None
        entry = await self._journal.get_entry(wait.run_id, wait.step_id)
        if entry is None or not entry.pending:
            return None
        header = await self._journal.get_header(wait.run_id)
        if header is None or header.outcome is not None:
            return None
        late = items.settle(wait.run_id, wait.step_id, SignalArrived(name, data), now_ms).item
        await self._queue.send([replace(late, due_at_ms=now_ms + LEASE_MS)])
        put = PutEntry(resume.by_signal(entry, name, data, now_ms), Guard.NOT_MEMOISED)
        try:
            await self._journal.commit(wait.run_id, [put], term=None)
        except ConflictError:
            return None
        await self._queue.send([items.settled(wait.run_id, wait.step_id, now_ms).item])
        self._observe(step_notice(header, put.entry, NoticeKind.STEP_COMPLETED, now_ms))
        return wait.run_id

    async def cancel_matching(self, criteria: Criteria) -> str:
        """Begin to cancel the runs that meet the criteria, in the background; returns the cancellation's id."""
        cancellation_id = self._ids.draw()
        work = CancelMatching(
            cancellation_id=cancellation_id,
            function_id=await self._slug(criteria),
            from_ms=criteria.from_ms,
            until_ms=criteria.until_ms,
            expression=criteria.expression,
        )
        await self._queue.send([items.cancel_matching(work, self._clock.now_ms()).item])
        return cancellation_id

    async def _slug(self, criteria: Criteria) -> str:
        """The function's slug; the id is taken for one only when no function has it without the prefix."""
        prefix = f"{criteria.app_id}-"
        slug = prefix + criteria.function_id
        if criteria.function_id.startswith(prefix) and await self._registry.get_function(slug) is None:
            return criteria.function_id
        return slug


async def find_run(journal: Journal, run_id: str) -> RunHeader:
    """A run's header. Raises ApiError: 400 for what is no run id, 404 for an unknown run."""
    if not is_ulid(run_id):
        raise ApiError(400, f"Invalid run ID: {run_id[:100]}")
    header = await journal.get_header(run_id)
    if header is None:
        raise ApiError(404, f"Unable to load function run: {run_id}")
    return header
