"""Driving a run: take its lease, call while a call is owed, release on the condition that nobody wished meanwhile.

What two workers may do to each other, and why nothing is lost:

- A result is committed before its writer asks to drive. Either the writer gets the lease and loads a journal that has
  the result, or the holder's release fails because ``wanted`` moved, and the holder loads again.
- A driver that dies leaves the lease unreleased. Whoever takes it next knows by that (``takeover``), repeats the
  commands that follow from the journal, and owes a discovery.
- A driver that overran its lease may still be writing. Its entries are guarded, first write wins; its places beyond
  the fence do not count; its progress, its end and its release need a term that is no longer current. It looks at the
  term before each call.
- A cancellation takes no lease. It is committed on the run; the driver's next commit is refused, and it stops.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stepwell_orchestrator.engine import items
from stepwell_orchestrator.engine.advance import advance
from stepwell_orchestrator.engine.apply import apply
from stepwell_orchestrator.engine.gate import owes_discovery
from stepwell_orchestrator.engine.recover import recover
from stepwell_orchestrator.engine.situation import Situation
from stepwell_orchestrator.engine.stack import arrange, fence
from stepwell_orchestrator.errors import ConflictError, LeaseLostError
from stepwell_orchestrator.limits import LEASE_MS
from stepwell_orchestrator.model.decision import Decision, PutProgress
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import Progress, Run
from stepwell_orchestrator.ports import Acquired, Busy, Over, Unknown
from stepwell_orchestrator.worker.calling import Caller
from stepwell_orchestrator.worker.renewing import renewing
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Driver:
    """Drives runs."""

    tools: Tools
    caller: Caller

    async def drive(self, run_id: str, deliveries: int) -> int | None:
        """Bring a run as far as it gets. Returns when to try again, or None when nothing is left to this item.

        A holder that is alive sees the wish; of a redelivered item the holder may be the worker that died with it,
        so that item stays until the lease runs out.
        """
        now_ms = self.tools.clock.now_ms()
        acquisition = await self.tools.journal.acquire(run_id, now_ms, now_ms + LEASE_MS)
        match acquisition:
            case Unknown() | Over():
                return None
            case Busy(until_ms):
                return until_ms if deliveries > 1 else None
            case Acquired(header, takeover):
                await self._hold(run_id, header.term, takeover=takeover)
                return None

    async def _hold(self, run_id: str, term: int, *, takeover: bool) -> None:
        journal = self.tools.journal
        async with renewing(self.tools.clock, lambda until_ms: journal.renew(run_id, term, until_ms)):
            run = await self.tools.existing(run_id)
            function = await self.tools.registry.get_function(run.header.function_id)
            try:
                if takeover:
                    run = await self._recover(run, term)
                await self._drive_until_released(run, function, term)
            except LeaseLostError:
                return

    async def _drive_until_released(self, run: Run, function: Function | None, term: int) -> None:
        if term == 1 and run.header.outcome is None:
            self._tell_started(run)
        stored = run.header.progress
        while True:
            found = run.header.progress
            run = await self._go_on(run, function, term)
            await self._keep_retry(run, found, term)
            progress = run.header.progress
            changed = None if run.header.outcome is not None or progress == stored else progress
            if await self.tools.journal.release(run.header.run_id, term, run.header.wanted, changed) is None:
                return
            fresh = await self.tools.existing(run.header.run_id)
            stored = fresh.header.progress
            run = replace(fresh, header=replace(fresh.header, progress=progress))

    async def _keep_retry(self, run: Run, found: Progress, term: int) -> None:
        """Queue a retry again that was found and, being ahead by this worker's clock, left alone.

        The clock of the worker that set it may be ahead of this one's. Then its queue item has come already, to this
        worker or to one that found the lease taken, and nothing else would look at the run again.
        """
        retry_at_ms = run.header.progress.retry_at_ms
        if run.header.outcome is None and retry_at_ms is not None and retry_at_ms == found.retry_at_ms:
            await self.tools.dispatch([items.retry_again(run.header.run_id, retry_at_ms, term)])

    async def _recover(self, run: Run, term: int) -> Run:
        """Do again what a driver that died may have left undone, and close its term."""
        await self.tools.dispatch(recover(run, self.tools.clock.now_ms()))
        if run.header.outcome is not None:
            return run
        try:
            return await self._store(run, fence(run, term), term)
        except ConflictError:
            return await self._reload(run, run.header.progress)

    async def _go_on(self, run: Run, function: Function | None, term: int) -> Run:
        """Call, commit and dispatch as long as a discovery is owed."""
        while run.header.outcome is None:
            progress = arrange(run, term)
            arranged = replace(run, header=replace(run.header, progress=progress))
            if not owes_discovery(arranged, self.tools.clock.now_ms()):
                return arranged
            try:
                if progress is not run.header.progress:
                    run = await self._store(run, progress, term)
                run = await self._discover(run, function, term)
            except ConflictError:
                run = await self._reload(run, replace(run.header.progress, discovered=None))
        return run

    async def _has_ended(self, run_id: str, term: int) -> bool:
        """Whether the run was cancelled since its journal was read: no step starts after that (promise 9).

        LeaseLostError when another driver has the run by now: it may have journaled what this one would call for.
        """
        header = await self.tools.journal.get_header(run_id)
        assert header is not None, f"run {run_id} is being driven and has no header"
        if header.term != term:
            raise LeaseLostError(f"run {run_id}: drive term {term} is over, the run is in term {header.term}")
        return header.outcome is not None

    async def _discover(self, run: Run, function: Function | None, term: int) -> Run:
        """One discovery call, from the journal as carried to the journal as committed."""
        if await self._has_ended(run.header.run_id, term):
            return await self._reload(run, run.header.progress)
        called_at_ms = self.tools.clock.now_ms()
        reply = await self.caller.call(run, function, None)
        situation = Situation(
            run=run,
            target=None,
            max_attempts=function.max_attempts if function else 1,
            called_at_ms=called_at_ms,
            now_ms=self.tools.clock.now_ms(),
            limits=self.tools.limits,
            retries=self.tools.retries,
        )
        return await self._settle(run, advance(situation, reply), term)

    async def _settle(self, run: Run, decision: Decision, term: int) -> Run:
        if decision.writes:
            await self.tools.journal.commit(run.header.run_id, decision.writes, term=term)
        await self.tools.dispatch(decision.commands)
        self.tools.tell(run.header, decision)
        run = apply(run, decision.writes)
        return replace(run, header=replace(run.header, progress=decision.progress or run.header.progress))

    async def _store(self, run: Run, progress: Progress, term: int) -> Run:
        await self.tools.journal.commit(run.header.run_id, [PutProgress(progress)], term=term)
        return replace(run, header=replace(run.header, progress=progress))

    async def _reload(self, run: Run, progress: Progress) -> Run:
        """The journal as it is now, with the progress this driver has in hand."""
        fresh = await self.tools.existing(run.header.run_id)
        return replace(fresh, header=replace(fresh.header, progress=progress))

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
