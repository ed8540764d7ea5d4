"""Driving a run: take its lease, call while a call is owed, release on the condition that nobody wished meanwhile.

What two workers may do to each other, and why nothing is lost:

- A result is committed before its writer asks to drive. Either the writer gets the lease and loads a journal that has
  the result, or the holder's release fails because ``wanted`` moved, and the holder loads again. What ends a wait asks
  first, so that it can be committed with its place; whoever does not get the lease, or loses it, commits without one
  and asks once more.
- A driver that dies leaves the lease unreleased. Whoever takes it next knows by that (``takeover``), repeats the
  commands that follow from the journal, and owes a discovery.
- A driver that overran its lease may still be writing. Its entries are guarded, first write wins; its places beyond
  the fence do not count; its progress, its end and its release need a term that is no longer current. It looks at the
  term before each call.
- Entries alone may be stored for a driver that was overtaken (decision 10), and it may die before it carries out what
  follows. Whoever is refused because of what is in the journal by then repeats what follows from it.
- Places given to arrivals are stored before a call is made with them, whenever they were given: another driver would
  give the same arrivals other places.
- A cancellation takes no lease. It is committed on the run; the driver's next commit is refused, and it stops.
- A driver that ends the run frees the lease with the end, so nothing shows whether it got to what follows from it. Its
  item does, which comes again when it died. Whoever else may have had a copy of that item made a wish before the end,
  and then the lease is given back after all; or comes after the end, and finds it fresh.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.engine import items
from stepwell_orchestrator.engine.advance import advance
from stepwell_orchestrator.engine.apply import apply
from stepwell_orchestrator.engine.gate import owes_discovery
from stepwell_orchestrator.engine.recover import recover
from stepwell_orchestrator.engine.situation import Situation
from stepwell_orchestrator.engine.stack import arrange, fence, next_place
from stepwell_orchestrator.errors import ConflictError, LeaseLostError
from stepwell_orchestrator.limits import LEASE_MS
from stepwell_orchestrator.model.decision import Decision, PutEntry, PutProgress
from stepwell_orchestrator.model.function import ATTEMPTS_DEFAULT, Function
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import Progress, Run, RunHeader
from stepwell_orchestrator.ports import Acquired, Busy, Over, Unknown
from stepwell_orchestrator.worker.calling import Caller
from stepwell_orchestrator.worker.renewing import renewing
from stepwell_orchestrator.worker.tools import Tools

_SEEN_MS: Final = SECOND_MS
"""How long ago a driver may have looked at the header when it calls."""

Arrival = Callable[[Run], Awaitable[Decision]]
"""What has come for a step from outside, as it changes the run's entries as they are; it may come to nothing."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A run in its driver's hands, with the driver's progress, and the progress that is stored.

    ``seen_at_ms`` is when its header was found in force since the last call, if it was. ``freed``: the driver ended
    the run, and the lease went with it.
    """

    run: Run
    stored: Progress
    seen_at_ms: int | None = None
    freed: bool = False

    def with_progress(self, progress: Progress) -> _Held:
        """The same run, so far along."""
        return replace(self, run=replace(self.run, header=replace(self.run.header, progress=progress)))


@dataclass(frozen=True, slots=True)
class Driver:
    """Drives runs."""

    tools: Tools
    caller: Caller

    async def drive(self, run_id: str, deliveries: int, arrival: Arrival | None = None) -> int | None:
        """Bring a run as far as it gets. Returns when to try again, or None when nothing is left to this item.

        ``arrival`` is what has come for one of its steps, which is committed whoever drives. A holder that is alive
        sees the wish; of a redelivered item the holder may be the worker that died with it, so that item stays until
        the lease runs out.
        """
        now_ms = self.tools.clock.now_ms()
        acquisition = await self.tools.journal.acquire(run_id, now_ms, now_ms + LEASE_MS)
        match acquisition:
            case Unknown():
                return None
            case Over(header):
                await self._finish_end(header, now_ms, deliveries)
                if arrival is not None:
                    await self.tools.dispatch((await arrival(await self.tools.journal.run_of(header))).commands)
                return None
            case Busy(until_ms) if arrival is None:
                return until_ms if deliveries > 1 else None
            case Acquired(header, takeover) if await self._hold(header, now_ms, arrival, takeover=takeover):
                return None
            case _ if arrival is None:
                return None
        await self._commit_alone(run_id, arrival)
        return await self.drive(run_id, deliveries)

    async def _commit_alone(self, run_id: str, arrival: Arrival) -> None:
        """Commit what has come without the lease, and so without a place."""
        run = await self.tools.existing(run_id)
        decision = await arrival(run)
        with suppress(ConflictError):
            await self.tools.journal.commit(run_id, decision.writes, term=None)
            self.tools.tell(run.header, decision)
        await self.tools.dispatch(decision.commands)

    async def _arrive(self, held: _Held, arrival: Arrival, term: int) -> _Held:
        """Commit what has come along with its place, which then takes no write of its own."""
        decision = await arrival(held.run)
        held = held.with_progress(arrange(held.run, term))
        place = next_place(held.run, term)
        puts = tuple(
            replace(write, entry=replace(write.entry, place=place))
            for write in decision.writes
            if isinstance(write, PutEntry)
        )
        try:
            settled = await self._settle(held, replace(decision, writes=puts), term)
        except ConflictError:
            await self.tools.dispatch(decision.commands)
            return await self._reload(held.run.header.run_id, held.run.header.progress)
        return replace(settled, seen_at_ms=held.seen_at_ms)

    async def _finish_end(self, header: RunHeader, now_ms: int, deliveries: int) -> None:
        """Do what follows from a run's end, if whoever ended it may have died before.

        Its item is redelivered then. A copy of the item comes for the first time, perhaps, but hardly long after.
        """
        assert header.outcome is not None, f"run {header.run_id} is over and has no outcome"
        if deliveries > 1 or now_ms - header.outcome.ended_at_ms < LEASE_MS:
            await self.tools.dispatch(recover(await self.tools.journal.run_of(header), now_ms))

    async def _hold(self, header: RunHeader, now_ms: int, arrival: Arrival | None, *, takeover: bool) -> bool:
        """Drive until the run is given back; False when another driver has it by now."""
        journal, term = self.tools.journal, header.term
        async with renewing(self.tools.clock, lambda until_ms: journal.renew(header.run_id, term, until_ms)):
            run = await journal.run_of(header)
            function = await self.tools.registry.get_function(header.function_id)
            try:
                held = await self._recover(run, term) if takeover else _Held(run, header.progress, now_ms)
                if arrival is not None:
                    held = await self._arrive(held, arrival, term)
                await self._drive_until_released(held, function, term)
            except LeaseLostError:
                return False
        return True

    async def _drive_until_released(self, held: _Held, function: Function | None, term: int) -> None:
        if term == 1 and held.run.header.outcome is None:
            self._tell_started(held.run)
        while True:
            found = held.run.header.progress
            held = await self._go_on(held, function, term)
            if held.freed:
                return
            header = held.run.header
            await self._keep_retry(held.run, found, term)
            changed = None if header.outcome is not None or header.progress == held.stored else header.progress
            if await self.tools.journal.release(header.run_id, term, header.wanted, changed) is None:
                return
            held = await self._reload(header.run_id, header.progress)

    async def _keep_retry(self, run: Run, found: Progress, term: int) -> None:
        """Queue a retry again that was found and, being ahead by this worker's clock, left alone.

        The clock of the worker that set it may be ahead of this one's. Then its queue item has come already, to this
        worker or to one that found the lease taken, and nothing else would look at the run again.
        """
        retry_at_ms = run.header.progress.retry_at_ms
        if run.header.outcome is None and retry_at_ms is not None and retry_at_ms == found.retry_at_ms:
            await self.tools.dispatch([items.retry_again(run.header.run_id, retry_at_ms, term)])

    async def _recover(self, run: Run, term: int) -> _Held:
        """Do again what a driver that died may have left undone, and close its term."""
        await self.tools.dispatch(recover(run, self.tools.clock.now_ms()))
        if run.header.outcome is not None:
            return _Held(run, run.header.progress)
        try:
            return await self._store(run, fence(run, term), term)
        except ConflictError:
            return await self._reload(run.header.run_id, run.header.progress)

    async def _go_on(self, held: _Held, function: Function | None, term: int) -> _Held:
        """Call, commit and dispatch as long as a discovery is owed and there is time."""
        while held.run.header.outcome is None:
            held = held.with_progress(arrange(held.run, term))
            progress, now_ms = held.run.header.progress, self.tools.clock.now_ms()
            if not owes_discovery(held.run, now_ms):
                return held
            if self.tools.is_late(now_ms):
                await self.tools.dispatch([items.hand_over(held.run.header.run_id, term, now_ms)])
                return held
            try:
                if progress.placed != held.stored.placed:
                    held = await self._store(held.run, progress, term)
                held = await self._discover(held, function, term)
            except ConflictError:
                held = await self._reload(held.run.header.run_id, replace(progress, discovered=None))
                if held.run.header.outcome is None:
                    await self.tools.dispatch(recover(held.run, now_ms))
        return held

    async def _has_ended(self, run_id: str, term: int) -> bool:
        """Whether the run was cancelled since its journal was read: no step starts after that (promise 9).

        LeaseLostError when another driver has the run by now: it may have journaled what this one would call for.
        """
        header = await self.tools.journal.get_header(run_id)
        assert header is not None, f"run {run_id} is being driven and has no header"
        if header.term != term:
            raise LeaseLostError(f"run {run_id}: drive term {term} is over, the run is in term {header.term}")
        return header.outcome is not None

    async def _discover(self, held: _Held, function: Function | None, term: int) -> _Held:
        """One discovery call, from the journal as carried to the journal as committed."""
        run = held.run
        called_at_ms = self.tools.clock.now_ms()
        if held.seen_at_ms is None or called_at_ms - held.seen_at_ms > _SEEN_MS:
            if await self._has_ended(run.header.run_id, term):
                return await self._reload(run.header.run_id, run.header.progress)
            called_at_ms = self.tools.clock.now_ms()
        reply = await self.caller.call(run, function, None)
        situation = Situation(
            run=run,
            target=None,
            max_attempts=function.max_attempts if function else ATTEMPTS_DEFAULT,
            called_at_ms=called_at_ms,
            now_ms=self.tools.clock.now_ms(),
            limits=self.tools.limits,
            retries=self.tools.retries,
        )
        return await self._settle(held, advance(situation, reply), term)

    async def _settle(self, held: _Held, decision: Decision, term: int) -> _Held:
        run = held.run
        freed = False
        if decision.writes:
            header = run.header
            freed = await self.tools.journal.commit(header.run_id, decision.writes, term=term, wanted=header.wanted)
        await self.tools.dispatch(decision.commands)
        self.tools.tell(run.header, decision)
        written = [write.progress for write in decision.writes if isinstance(write, PutProgress)]
        settled = _Held(apply(run, decision.writes), (written or [held.stored])[-1], freed=freed)
        return settled.with_progress(decision.progress or run.header.progress)

    async def _store(self, run: Run, progress: Progress, term: int) -> _Held:
        """Store progress, which is only taken from the run's driver while the run goes on."""
        now_ms = self.tools.clock.now_ms()
        await self.tools.journal.commit(run.header.run_id, [PutProgress(progress)], term=term)
        return _Held(run, progress, now_ms).with_progress(progress)

    async def _reload(self, run_id: str, progress: Progress) -> _Held:
        """The journal as it is now, with the progress this driver has in hand."""
        fresh = await self.tools.existing(run_id)
        return _Held(fresh, fresh.header.progress).with_progress(progress)

    def _tell_started(self, run: Run) -> None:
        header = run.header
        self.tools.observe(
            Notice(
                at_ms=self.tools.clock.now_ms(),
                kind=NoticeKind.RUN_STARTED,
                run_id=header.run_id,
                function_id=header.function_id,
                subject=header.event_name,
            )
        )
