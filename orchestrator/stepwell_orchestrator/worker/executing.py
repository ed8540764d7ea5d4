"""Executing one planned step: claim it, call it, commit its result, then ask to drive the run.

Interleavings: a duplicate delivery finds the claim taken (and waits for it to run out, in case its holder died), the
step memoised or the run ended (and only asks to drive, in case that was left undone), or a later attempt (and only
repeats its retry).
"""

from __future__ import annotations

from dataclasses import dataclass

from stepwell_orchestrator.engine.calls.advance import advance
from stepwell_orchestrator.engine.journal.discovery import retries
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.gateway import GATEWAYS
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.errors import ConflictError
from stepwell_orchestrator.limits import LEASE_MS
from stepwell_orchestrator.model.function import ATTEMPTS_DEFAULT
from stepwell_orchestrator.model.queue_item import Execute
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import Claimed, Refused, Unknown
from stepwell_orchestrator.worker.calling import Caller
from stepwell_orchestrator.worker.driving import Driver
from stepwell_orchestrator.worker.gateways import Gateways
from stepwell_orchestrator.worker.renewing import renewing
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Executor:
    """Executes planned steps."""

    tools: Tools
    caller: Caller
    gateways: Gateways
    driver: Driver

    async def execute(self, work: Execute, deliveries: int) -> int | None:
        """Execute one attempt of one step. Returns when to try again, or None when nothing is left to this item."""
        now_ms = self.tools.clock.now_ms()
        if self.tools.is_late(now_ms):
            return now_ms
        claim = await self.tools.journal.claim(
            work.run_id, work.step_id, work.attempt, now_ms=now_ms, until_ms=now_ms + LEASE_MS
        )
        match claim:
            case Unknown():
                return await self.driver.drive(work.run_id, deliveries)
            case Refused(entry):
                return await self._refused(work, entry, deliveries)
            case Claimed():
                return await self.driver.drive(work.run_id, deliveries) if await self._run(work, now_ms) else None

    async def _refused(self, work: Execute, entry: StepEntry, deliveries: int) -> int | None:
        if entry.attempt > work.attempt and entry.status is StepStatus.ERRORED:
            due_at_ms = entry.due_at_ms or self.tools.clock.now_ms()
            await self.tools.dispatch([items.execute(work.run_id, entry.step_id, entry.attempt, due_at_ms)])
            return None
        if entry.status is StepStatus.RUNNING and entry.attempt == work.attempt:
            return entry.claim_until_ms
        return await self.driver.drive(work.run_id, deliveries)

    async def _run(self, work: Execute, claimed_at_ms: int) -> bool:
        """Call, commit, dispatch. Whether the run may go on by it."""
        journal = self.tools.journal
        async with renewing(
            self.tools.clock,
            lambda until_ms: journal.renew_claim(
                work.run_id, work.step_id, claimed_at_ms=claimed_at_ms, until_ms=until_ms
            ),
        ):
            run = await self.tools.existing(work.run_id)
            if not _is_claimed(run, work, claimed_at_ms):
                return True
            function = await self.tools.registry.get_function(run.header.function_id)
            called_at_ms = self.tools.clock.now_ms()
            call = self.gateways.perform if run.entries[work.step_id].op in GATEWAYS else self.caller.call
            reply = await call(run, function, work.step_id)
        situation = Situation(
            run=run,
            target=work.step_id,
            max_attempts=function.max_attempts if function else ATTEMPTS_DEFAULT,
            called_at_ms=called_at_ms,
            now_ms=self.tools.clock.now_ms(),
            limits=self.tools.limits_of(run),
            retries=self.tools.retries,
        )
        decision = advance(situation, reply)
        try:
            await journal.commit(work.run_id, decision.writes, term=None)
        except ConflictError:
            return True
        await self.tools.dispatch(decision.commands)
        self.tools.tell(run.header, decision)
        return not retries(decision, work.step_id)


def _is_claimed(run: Run, work: Execute, claimed_at_ms: int) -> bool:
    """Whether the attempt is still to be made: its run may have ended since the claim, or another one be in force."""
    entry = run.entries[work.step_id]
    return run.header.outcome is None and entry.status is StepStatus.RUNNING and entry.claimed_at_ms == claimed_at_ms
