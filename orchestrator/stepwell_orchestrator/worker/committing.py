"""What a driver writes: decisions, the ends of waits, its progress. Each write is followed by what it owes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from stepwell_orchestrator.engine.calls.recover import recover
from stepwell_orchestrator.engine.journal.apply import apply
from stepwell_orchestrator.engine.journal.stack import arrange, fence, next_place
from stepwell_orchestrator.errors import ConflictError
from stepwell_orchestrator.model.decision import Command, Decision, PutEntry, PutProgress
from stepwell_orchestrator.model.run import Progress, Run
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.worker.held_run import HeldRun
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Settlement:
    """How the wait of one step ends: its final entry, None when this does not end it, and the commands that follow.

    ``replaced`` is the wait that ends. The commands are carried out in any case: the settler that was first may have
    died before that.
    """

    entry: StepEntry | None = None
    replaced: StepEntry | None = None
    commands: tuple[Command, ...] = ()

    def decision(self) -> Decision:
        """The guarded write and the commands: the first to settle a step wins."""
        puts = () if self.entry is None else (PutEntry(self.entry, self.replaced),)
        return Decision(puts, self.commands)


FindSettlement = Callable[[Run], Awaitable[Settlement]]
"""Looks at a run as it is and says how a step's wait ends."""


@dataclass(frozen=True, slots=True)
class Committer:
    """Commits on behalf of the holder of a drive lease. ConflictError and LeaseLostError mean what the journal says."""

    tools: Tools

    async def commit(self, held: HeldRun, decision: Decision) -> HeldRun:
        """Write a decision, carry out its commands and tell of it. Returns the run as it is then.

        Raises ConflictError and LeaseLostError, and then nothing was written and no command carried out.
        """
        freed = False
        if decision.writes:
            freed = await self.tools.journal.commit(held.run_id, decision.writes, term=held.term, wanted=held.wanted)
        await self.tools.dispatch(decision.commands)
        self.tools.tell(held.run.header, decision)
        committed = replace(
            held, run=apply(held.run, decision.writes), stored=_stored_by(decision, held.stored), freed=freed
        )
        return committed.with_progress(decision.progress or held.progress)

    async def settle(self, held: HeldRun, find_settlement: FindSettlement) -> HeldRun:
        """End a step's wait along with its place, which then takes no write of its own. Raises LeaseLostError."""
        settlement = await find_settlement(held.run)
        held = held.with_progress(arrange(held.run, held.term))
        if settlement.entry is not None:
            place = next_place(held.run, held.term)
            settlement = replace(settlement, entry=replace(settlement.entry, place=place))
        try:
            return await self.commit(held, settlement.decision())
        except ConflictError:
            await self.tools.dispatch(settlement.commands)
            return await self.reload_after_conflict(held)

    async def settle_without_lease(self, run_id: str, find_settlement: FindSettlement) -> None:
        """End a step's wait while another worker drives the run, and so without a place.

        Refused, it looks again: the step may have ended, or be another wait by now, which holds what the first one did.
        """
        while True:
            run = await self.tools.load(run_id)
            decision = (await find_settlement(run)).decision()
            try:
                await self.tools.journal.commit(run_id, decision.writes, term=None)
            except ConflictError:
                continue
            self.tools.tell(run.header, decision)
            await self.tools.dispatch(decision.commands)
            return

    async def store(self, held: HeldRun, progress: Progress) -> HeldRun:
        """Store progress, which is only taken from the run's driver while the run goes on.

        Raises ConflictError when the run has ended, LeaseLostError when the term is over.
        """
        now_ms = self.tools.clock.now_ms()
        await self.tools.journal.commit(held.run_id, [PutProgress(progress)], term=held.term)
        return replace(held, stored=progress, seen_at_ms=now_ms).with_progress(progress)

    async def take_over(self, held: HeldRun) -> HeldRun:
        """Do again what a driver that died may have left undone, and close its term. Raises LeaseLostError."""
        await self.tools.dispatch(recover(held.run, self.tools.clock.now_ms()))
        if held.outcome is not None:
            return held
        try:
            return await self.store(held, fence(held.run, held.term))
        except ConflictError:
            return await self.reload(held)

    async def reload(self, held: HeldRun) -> HeldRun:
        """The journal as it is now, with the progress this driver has in hand."""
        fresh = await self.tools.load(held.run_id)
        reloaded = replace(held, run=fresh, stored=fresh.header.progress, seen_at_ms=None)
        return reloaded.with_progress(held.progress)

    async def reload_after_conflict(self, held: HeldRun) -> HeldRun:
        """The journal that refused a commit, once the commands it calls for are repeated: its writer may have died."""
        held = await self.reload(held)
        if held.outcome is None:
            await self.tools.dispatch(recover(held.run, self.tools.clock.now_ms()))
        return held


def _stored_by(decision: Decision, stored: Progress) -> Progress:
    """The progress that the journal has after a decision, which had ``stored`` before it."""
    for write in decision.writes:
        if isinstance(write, PutProgress):
            stored = write.progress
    return stored
