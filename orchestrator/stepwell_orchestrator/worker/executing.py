"""Executing one planned step: claim it, call it, commit its result, then ask to drive the run.

What may come between, and who makes up for it:

=================================  =====================================  =============================================
who dies, or comes between         what the journal shows                 who repeats it, and how
=================================  =====================================  =============================================
a second delivery                  the claim, of this attempt             nobody; its item waits until the claim ends
  test_gateways.py::test_a_gateway_step_is_requested_once_however_often_it_is_delivered
the claimant dies before it        a claim that runs out                  the item's next delivery: it claims and calls
commits
  test_gateways.py::test_a_worker_that_dies_between_request_and_commit_is_replaced
a claimant loses its claim         the entry, memoised                    nobody: it does not call, and asks to drive
before it reads the run
  test_found_by_simulation.py::test_claimed_step_that_another_worker_finished_is_not_called
a cancellation after the claim     the end                                nobody: it does not call, and asks to drive
  test_found_by_simulation.py::test_claimed_step_of_a_cancelled_run_is_not_called
a cancellation during the call     the end; the result is refused         nobody: it asks to drive
  test_gateways.py::test_a_cancellation_during_the_request_keeps_its_result_out
another call has deferred what     that deferral; the result is refused   the claimant: it commits its result without
its reply defers
  test_deferring.py::test_a_deferral_that_another_call_reported_costs_no_result
the claimant dies after it         the entry, memoised                    the item's next delivery: it asks to drive
committed a result
  test_crash_everywhere.py::test_a_crash_at_any_port_call_is_survived
the claimant dies after it         a later attempt                        the item's next delivery: it queues the retry
committed a failed attempt
  test_crash_everywhere.py::test_a_crash_at_any_port_call_is_survived
... committed that the step is of     the newer entry, at a later attempt    the item's next delivery: the commands of
another kind in new code                                                     the journal
  test_crash_everywhere.py::test_a_crash_while_a_step_changes_leaves_nothing_behind
a driver decides by the step as it    the claim                              the driver: its commit is refused, and it
was before the claim                                                         calls again; the body's result is kept
  test_replaced_entries.py::test_a_driver_does_not_write_over_a_claim_that_it_did_not_see
a driver drops the step, or writes    the newer entry; the result is         nobody: it asks to drive
another kind, in the claim's place    refused
  test_replaced_entries.py::test_a_result_does_not_end_what_the_step_has_become
the claim ran out and another one     the newer claim, or what it led to;    the newer claimant
was made                              what the first one found is refused
  test_replaced_entries.py::test_of_two_claimants_the_later_one_is_heard
=================================  =====================================  =============================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from stepwell.wire.reply import Reply
from stepwell_orchestrator.engine.calls.advance import advance
from stepwell_orchestrator.engine.calls.recover import recover
from stepwell_orchestrator.engine.journal.discovery import retries
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.gateway import GATEWAYS
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.errors import ConflictError
from stepwell_orchestrator.limits import CLAIM_LEASE_MS
from stepwell_orchestrator.model.function import ATTEMPTS_DEFAULT
from stepwell_orchestrator.model.queue_item import Execute
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import Claim, Claimed, NotClaimed, Unknown
from stepwell_orchestrator.worker.calling import Caller
from stepwell_orchestrator.worker.driving import Driver
from stepwell_orchestrator.worker.gateways import Gateways
from stepwell_orchestrator.worker.limiting.call_slots import CallSlots
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
        slots = await self._slots(work)
        if not await slots.enter():
            return None
        claim = await self.tools.journal.claim(
            work.run_id, work.step_id, work.attempt, now_ms=now_ms, until_ms=now_ms + CLAIM_LEASE_MS
        )
        if isinstance(claim, NotClaimed) and _is_under_way(claim.entry, work):
            # Its claimant has the slot of the same name, and gives it back.
            return claim.entry.claim_until_ms
        goes_on = await self._act_on(claim, work, slots, now_ms)
        await slots.leave()
        return await self.driver.drive(work.run_id, deliveries) if goes_on else None

    async def _slots(self, work: Execute) -> CallSlots:
        keeper = self.tools.keeper
        asks = work.limited or not work.function_id or await keeper.halting.concerns(work.function_id)
        header = await self.tools.journal.get_header(work.run_id) if asks else None
        if header is None:
            return CallSlots.unlimited(keeper, work)
        function = await self.tools.registry.get_function(header.function_id)
        return CallSlots.of_step(keeper, header, function, work)

    async def _act_on(self, claim: Claim, work: Execute, slots: CallSlots, now_ms: int) -> bool:
        """Execute a step that was claimed, or leave it to others. Returns whether the run may go on by it."""
        match claim:
            case Claimed():
                return await self._execute_claimed(work, slots, now_ms)
            case NotClaimed(entry):
                return await self._leave(work, entry)
            case Unknown():
                return True
            case _:
                assert_never(claim)

    async def _leave(self, work: Execute, entry: StepEntry) -> bool:
        """Do what the worker that had a step may have left undone. Returns whether the run may go on."""
        if entry.attempt > work.attempt and entry.status is StepStatus.ERRORED:
            due_at_ms = entry.due_at_ms or self.tools.clock.now_ms()
            await self.tools.dispatch([items.execute_again(work, entry.attempt, due_at_ms)])
            return False
        if entry.attempt > work.attempt and entry.pending:
            run = await self.tools.load(work.run_id)
            await self.tools.dispatch(recover(run, self.tools.clock.now_ms()))
        return True

    async def _execute_claimed(self, work: Execute, slots: CallSlots, claimed_at_ms: int) -> bool:
        """Call, commit, dispatch. Returns whether the run may go on by it."""
        journal = self.tools.journal

        async def renew(until_ms: int) -> bool:
            await slots.renew(until_ms)
            return await journal.renew_claim(work.run_id, work.step_id, claimed_at_ms=claimed_at_ms, until_ms=until_ms)

        async with renewing(self.tools.clock, renew, CLAIM_LEASE_MS):
            run = await self.tools.load(work.run_id)
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
        return await self._commit(work, situation, reply, claimed_at_ms)

    async def _commit(self, work: Execute, situation: Situation, reply: Reply, claimed_at_ms: int) -> bool:
        """Commit and dispatch. Returns whether the run may go on by it, or by what the journal had instead.

        A refusal may be about something else that the reply reports, which another call reported first. As long as the
        step is this worker's, its result is then committed without that.
        """
        while True:
            decision = advance(situation, reply)
            try:
                await self.tools.journal.commit(work.run_id, decision.writes, term=None)
                break
            except ConflictError:
                situation = replace(situation, run=await self.tools.load(work.run_id))
                if not _is_claimed(situation.run, work, claimed_at_ms):
                    return True
        await self.tools.dispatch_what_follows(situation.run, decision)
        self.tools.tell(situation.run.header, decision)
        return not retries(decision, work.step_id)


def _is_under_way(entry: StepEntry, work: Execute) -> bool:
    """Whether another worker has claimed the very attempt."""
    return entry.status is StepStatus.RUNNING and entry.attempt == work.attempt


def _is_claimed(run: Run, work: Execute, claimed_at_ms: int) -> bool:
    """Whether the attempt is still to be made: its run may have ended since the claim, or another one be in force."""
    entry = run.entries[work.step_id]
    return run.header.outcome is None and entry.status is StepStatus.RUNNING and entry.claimed_at_ms == claimed_at_ms
