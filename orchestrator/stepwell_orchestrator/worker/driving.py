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
- A call that finds nothing pending may save steps by checkpoints while it goes on. The first of them bumps ``wanted``,
  so the driver reads the journal again before it applies the reply, or, after a reply that can stand by itself, before
  it calls again. A reply to a state that others have changed meanwhile may be void (engine/meanwhile.py).
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

from stepwell.wire.reply import Reply
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.engine.calls.advance import advance
from stepwell_orchestrator.engine.calls.recover import recover
from stepwell_orchestrator.engine.journal.apply import apply
from stepwell_orchestrator.engine.journal.call_reference import CallReference
from stepwell_orchestrator.engine.journal.changes_during_call import QUIET, Meanwhile, is_void, meanwhile, stands_alone
from stepwell_orchestrator.engine.journal.discovery import has_pending, owes_discovery
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.journal.stack import arrange, fence, next_place
from stepwell_orchestrator.engine.waits import items
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

    ``wanted`` is what it was when the lease was taken, ``calls`` counts the discoveries of this term. ``seen_at_ms`` is
    when the header was found in force since the last call, if it was. ``freed``: the driver ended the run, and the
    lease went with it.
    """

    run: Run
    stored: Progress
    wanted: int
    seen_at_ms: int | None = None
    calls: int = 0
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
            return await self._settle(held, replace(decision, writes=puts), term)
        except ConflictError:
            await self.tools.dispatch(decision.commands)
            return await self._refused(held)

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
                held = _Held(run, header.progress, header.wanted, seen_at_ms=now_ms)
                if takeover:
                    held = await self._recover(held, term)
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
            held = await self._reload(held)

    async def _keep_retry(self, run: Run, found: Progress, term: int) -> None:
        """Queue a retry again that was found and, being ahead by this worker's clock, left alone.

        The clock of the worker that set it may be ahead of this one's. Then its queue item has come already, to this
        worker or to one that found the lease taken, and nothing else would look at the run again.
        """
        retry_at_ms = run.header.progress.retry_at_ms
        if run.header.outcome is None and retry_at_ms is not None and retry_at_ms == found.retry_at_ms:
            await self.tools.dispatch([items.retry_again(run.header.run_id, retry_at_ms, term)])

    async def _recover(self, held: _Held, term: int) -> _Held:
        """Do again what a driver that died may have left undone, and close its term."""
        await self.tools.dispatch(recover(held.run, self.tools.clock.now_ms()))
        if held.run.header.outcome is not None:
            return held
        try:
            return await self._store(held, fence(held.run, term), term)
        except ConflictError:
            return await self._reload(held)

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
                    held = await self._store(held, progress, term)
                held = await self._discover(held, function, term)
            except ConflictError:
                held = await self._refused(held.with_progress(replace(progress, discovered=None)))
        return held

    async def _refused(self, held: _Held) -> _Held:
        """The journal that refused a commit, once what follows from it was repeated: its writer may have died."""
        held = await self._reload(held)
        if held.run.header.outcome is None:
            await self.tools.dispatch(recover(held.run, self.tools.clock.now_ms()))
        return held

    def _was_seen(self, held: _Held) -> bool:
        """Whether the header was looked at so lately that one more look would tell nothing."""
        return held.seen_at_ms is not None and self.tools.clock.now_ms() - held.seen_at_ms <= _SEEN_MS

    async def _is_current(self, held: _Held, term: int) -> bool:
        """Whether nothing is known to have happened to the run since its journal was read.

        A cancelled run is not called: no step starts after that (promise 9). LeaseLostError when another driver has
        the run by now: it may have journaled what this one would call for.
        """
        run_id = held.run.header.run_id
        header = await self.tools.journal.get_header(run_id)
        assert header is not None, f"run {run_id} is being driven and has no header"
        if header.term != term:
            raise LeaseLostError(f"run {run_id}: drive term {term} is over, the run is in term {header.term}")
        return header.outcome is None and header.wanted == held.run.header.wanted

    async def _discover(self, held: _Held, function: Function | None, term: int) -> _Held:
        """One discovery call, from the journal as carried to the journal as committed."""
        if not self._was_seen(held) and not await self._is_current(held, term):
            return await self._reload(held)
        sent, call = held.run, held.calls + 1
        held = replace(held, calls=call, seen_at_ms=None)
        called_at_ms = self.tools.clock.now_ms()
        reply = await self.caller.discover(sent, function, call)
        if has_pending(sent):
            return await self._settle(held, self._decide(held, function, reply, called_at_ms, QUIET), term)
        if not stands_alone(reply) and not await self._is_current(held, term):
            held = await self._reload(held)
        reference = CallReference(sent.header.run_id, term, call, sent.header.wanted)
        while held.run.header.outcome is None:
            found = meanwhile(sent, held.run, reference)
            if is_void(held.run, found, reply):
                return held.with_progress(replace(held.run.header.progress, discovered=None))
            try:
                return await self._settle(held, self._decide(held, function, reply, called_at_ms, found), term)
            except ConflictError:
                held = await self._refused(held)
        return held

    def _decide(
        self, held: _Held, function: Function | None, reply: Reply, called_at_ms: int, found: Meanwhile
    ) -> Decision:
        situation = Situation(
            run=held.run,
            target=None,
            max_attempts=function.max_attempts if function else ATTEMPTS_DEFAULT,
            called_at_ms=called_at_ms,
            now_ms=self.tools.clock.now_ms(),
            call=held.calls,
            meanwhile=found,
            limits=self.tools.limits_of(held.run),
            retries=self.tools.retries,
        )
        return advance(situation, reply)

    async def _settle(self, held: _Held, decision: Decision, term: int) -> _Held:
        run = held.run
        freed = False
        if decision.writes:
            run_id = run.header.run_id
            freed = await self.tools.journal.commit(run_id, decision.writes, term=term, wanted=held.wanted)
        await self.tools.dispatch(decision.commands)
        self.tools.tell(run.header, decision)
        written = [write.progress for write in decision.writes if isinstance(write, PutProgress)]
        (stored,) = written[-1:] or (held.stored,)
        settled = replace(held, run=apply(run, decision.writes), stored=stored, freed=freed)
        return settled.with_progress(decision.progress or run.header.progress)

    async def _store(self, held: _Held, progress: Progress, term: int) -> _Held:
        """Store progress, which is only taken from the run's driver while the run goes on."""
        now_ms = self.tools.clock.now_ms()
        await self.tools.journal.commit(held.run.header.run_id, [PutProgress(progress)], term=term)
        return replace(held, stored=progress, seen_at_ms=now_ms).with_progress(progress)

    async def _reload(self, held: _Held) -> _Held:
        """The journal as it is now, with the progress this driver has in hand."""
        fresh = await self.tools.existing(held.run.header.run_id)
        progress = held.run.header.progress
        return replace(held, run=fresh, stored=fresh.header.progress, seen_at_ms=None).with_progress(progress)

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
