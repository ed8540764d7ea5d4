"""What people may do to runs: cancel them, run them again, send them a signal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from stepwell.wire.ids import EventIdSeed, is_ulid
from stepwell_orchestrator.accepting.event_validation import read_invocation
from stepwell_orchestrator.controlling.halting import HaltControl
from stepwell_orchestrator.controlling.rerun_start import AskedStart, start_of
from stepwell_orchestrator.engine.calls.notices import step_notice
from stepwell_orchestrator.engine.flow.options import flow_options
from stepwell_orchestrator.engine.runs.route import new_run
from stepwell_orchestrator.engine.runs.starting import idempotency_keys
from stepwell_orchestrator.engine.waits import items, resume
from stepwell_orchestrator.engine.waits.waiting import waits_for_signal
from stepwell_orchestrator.errors import ApiError, ConflictError
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import IDEMPOTENCY_MS, SPARE_ITEM_DELAY_MS
from stepwell_orchestrator.model.decision import PutEntry
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.notice import NoticeKind, Observe
from stepwell_orchestrator.model.queue_item import CancelMatching, QueueItem, Rerun, SignalArrived
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.ports import Clock, Journal, Queue, Registry, Waits

_INVOCATION_ORDINAL: Final = 0
"""Which event of its request an invocation's is, for a seed (protocol 3.4)."""

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


@dataclass(frozen=True, slots=True)
class Invocation:
    """What became of an invocation. ``run_id`` is an earlier run's when ``is_new`` is False: it was a repeat.

    It is None while the event waits in a debounce or a batch of the function.
    """

    event_id: str
    run_id: str | None
    is_new: bool


class Control:
    """Cancel, rerun, invoke, signal."""

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

    @property
    def halting(self) -> HaltControl:
        """Pause, drain, resume."""
        return HaltControl(self._journal, self._registry, self._queue, self._clock, self._ids)

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

    async def rerun(self, run_id: str, asked: AskedStart | None = None) -> str:
        """Run a run's function again on the same events, from its start or a step; returns the new run's id.

        Every call makes one more run. The wish is queued for later, then acted upon, so it survives a crash; when this
        returns, the run exists. Raises ApiError: 400 for what is no run id, 404 for an unknown run and for a
        function that is no longer registered; and those of ``start_of``.
        """
        original = await find_run(self._journal, run_id)
        if await self._registry.get_function(original.function_id) is None:
            message = f"function {original.function_id} is not registered any more; serve its app and sync it"
            raise ApiError(404, message, code="function_not_found")
        start = None if asked is None else start_of(await self._load(run_id), asked)
        rerun_id, now_ms = self._ids.draw(), self._clock.now_ms()
        item = items.rerun(Rerun(rerun_id, run_id, now_ms, start)).item
        await self._queue.send([replace(item, due_at_ms=now_ms + SPARE_ITEM_DELAY_MS)])
        await self._handle(item, 1)
        return rerun_id

    async def _load(self, run_id: str) -> Run:
        run = await self._journal.load(run_id)
        assert run is not None, f"run {run_id} has a header but cannot be loaded"
        return run

    async def invoke(self, slug: str, raw: Mapping[str, Any], seed: EventIdSeed | None = None) -> Invocation:
        """Start one function on an event of its own, bypassing its triggers and obeying its other options.

        ``raw`` is the event as it was sent; its name does not matter, and its ``id``, if it has one, makes a second
        invocation within a day a repeat. The wish is stored and queued for later, then acted upon, so it survives a
        crash; when this returns, the run exists, unless the event waits in a debounce or a batch. Raises EventError
        for a bad event, ApiError 404 for no such function.
        """
        function = await self._registry.get_function(slug)
        if function is None:
            message = f"could not find function with ID: {slug[:200]}; serve its app and sync it"
            raise ApiError(404, message, code="function_not_found")
        internal_id = self._ids.draw() if seed is None else seed.event_id(_INVOCATION_ORDINAL)
        now_ms = self._clock.now_ms()
        event = read_invocation(raw, slug, internal_id=internal_id, now_ms=now_ms)
        if not await self._journal.put_event(event):
            event = await self._journal.get_event(internal_id) or event
        item = items.route(internal_id, now_ms).item
        await self._queue.send([replace(item, due_at_ms=now_ms + SPARE_ITEM_DELAY_MS)])
        await self._handle(item, 1)
        options = flow_options(function)
        if options.debounce is None and options.batch is None:
            run_id = await self._find_run_id(event, function)
            return Invocation(internal_id, run_id, is_new=run_id == new_run(event, function).run_id)
        started = await self._journal.runs_of_event(internal_id)
        return Invocation(internal_id, started[0].run_id if started else None, is_new=True)

    async def _find_run_id(self, event: Event, function: Function) -> str:
        """Find the run that an event started, or the one before it that made it a repeat. Returns its id."""
        header = new_run(event, function)
        if await self._journal.get_header(header.run_id) is not None:
            return header.run_id
        keys = idempotency_keys(event, function, self._clock.now_ms())
        expires_at_ms = header.created_at_ms + IDEMPOTENCY_MS
        return await self._journal.create_run(header, idempotency_keys=keys, expires_at_ms=expires_at_ms)

    async def signal(self, name: str, data: Any) -> str | None:
        """Resume the run that waits for a signal. Returns its id, or None when no run waits.

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
        if entry is None or not waits_for_signal(entry, name):
            return None
        header = await self._journal.get_header(wait.run_id)
        if header is None or header.outcome is not None:
            return None
        late = items.settle(wait.run_id, wait.step_id, SignalArrived(name, data), now_ms).item
        await self._queue.send([replace(late, due_at_ms=now_ms + SPARE_ITEM_DELAY_MS)])
        put = PutEntry(resume.by_signal(entry, name, data, now_ms), entry)
        try:
            await self._journal.commit(wait.run_id, [put], term=None)
        except ConflictError:
            return None
        await self._queue.send([items.wait_ended(wait.run_id, wait.step_id, now_ms).item])
        self._observe(step_notice(header, put.entry, NoticeKind.STEP_COMPLETED, now_ms))
        return wait.run_id

    async def cancel_matching(self, criteria: Criteria) -> str:
        """Begin to cancel the runs that meet the criteria, in the background; returns the cancellation's id."""
        cancellation_id = self._ids.draw()
        work = CancelMatching(
            cancellation_id=cancellation_id,
            function_id=await self._find_slug(criteria),
            from_ms=criteria.from_ms,
            until_ms=criteria.until_ms,
            expression=criteria.expression,
        )
        await self._queue.send([items.cancel_matching(work, self._clock.now_ms()).item])
        return cancellation_id

    async def _find_slug(self, criteria: Criteria) -> str:
        """Find the function's slug. The id is taken for one only when no function has it without the prefix."""
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
