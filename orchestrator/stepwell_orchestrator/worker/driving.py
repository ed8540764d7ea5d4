"""Driving a run: take its lease, call while a call is owed, release on the condition that nobody wished meanwhile.

The driver is the worker that holds the drive lease. ``wanted`` counts the wishes to drive, ``term`` the times the lease
was taken. Every write has a condition, and every command may be carried out again. What may come between:

====================================  =====================================  ==========================================
who dies, or comes between            what the journal shows                 who repeats it, and how
====================================  =====================================  ==========================================
a result comes, another one drives    the result, then a larger ``wanted``   the driver: its release fails, so it loads
  test_found_by_simulation.py::test_wish_during_a_discovery_does_not_cost_another_one
a wait ends, another one drives       the entry, without a place             its settler wishes again after the commit
  test_writing_little.py::test_what_comes_while_another_drives_is_written_all_the_same
a wait ends, its driver is overtaken  the entry, without a place             the same: it commits without the lease
  test_found_by_simulation.py::test_wait_whose_driver_is_overtaken_ends_without_a_place
a wait ends by the driver's own item  the entry, with its place              nobody: the lease was asked for first
  test_writing_little.py::test_a_sleep_is_over_with_its_place
the driver dies                       a lease that expired, not released     the next driver (``takeover``): commands
                                                                             of the journal, and a discovery
  test_driving.py::test_a_dead_driver_is_replaced_when_its_lease_runs_out
a cancellation during a takeover      the end; the fence is refused          the next driver gives the lease back
  test_found_by_simulation.py::test_takeover_of_a_run_that_is_cancelled_meanwhile_ends_quietly
an overtaken driver writes an entry   its first write wins; a place beyond   the next driver, who gives it a place
                                      the fence does not count
  test_stack.py::test_a_fence_turns_a_dead_drivers_late_write_into_an_arrival
an overtaken driver writes the rest   progress, end, release: refused        nobody: its term is over
  test_commit.py::test_a_term_that_is_over_writes_nothing
an overtaken driver would call        another ``term``                       nobody: it looks before a call, and stops
  test_found_by_simulation.py::test_driver_whose_lease_was_taken_makes_no_further_call
an overtaken driver stores an entry   the entry, and none of its commands    the driver whose own commit that refuses
  and dies before its commands
  test_found_by_simulation.py::test_what_an_overtaken_driver_left_undone_is_done
a driver gave places, did not store   entries without a place                the driver stores them before it calls
  test_handing_over.py::test_places_given_without_a_call_are_stored_before_the_next_one
the call itself saves steps           their entries; the first one bumped    the driver loads again before it applies a
                                      ``wanted``                             reply that does not stand alone
  test_checkpoints.py::test_a_run_is_read_twice_however_many_steps_it_saves
a save comes after that load          one more entry; the commit is refused  the driver decides again, on that journal
  test_checkpoints.py::test_a_save_that_comes_while_its_steps_are_reported_costs_nothing_of_the_reply
another call saved steps meanwhile    another result than the reply's        the driver: the reply is void, a call more
  test_checkpoints.py::test_a_stale_call_saves_first_and_the_current_one_is_made_again
a cancellation, which takes no lease  the end                                nobody: the driver's commit is refused
  test_driving.py::test_a_cancelled_run_starts_no_later_step
the driver ends the run and dies      the end, a free lease, no commands     its item's redelivery: the end's commands
  test_writing_little.py::test_an_end_is_told_at_the_redelivery
... and a copy of its item comes      the same, and the end is fresh         the worker that has the copy
  test_writing_little.py::test_a_fresh_end_is_told_by_whoever_finds_it
... and a copy came before the end    a larger ``wanted``: the lease stays   the driver releases; if it dies, a takeover
  test_drive_lease.py::test_an_end_after_a_wish_keeps_the_lease
a retry comes early by this clock     a retry that lies ahead                the driver queues it again
  test_found_by_simulation.py::test_retry_survives_a_worker_whose_clock_is_behind
the process is about to stop          a discovery is owed                    another delivery, which the driver queues
  test_handing_over.py::test_a_driver_hands_its_run_over_between_two_calls
====================================  =====================================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from stepwell_orchestrator.engine.calls.recover import recover
from stepwell_orchestrator.errors import LeaseLostError
from stepwell_orchestrator.limits import DRIVE_LEASE_MS, FRESH_END_MS
from stepwell_orchestrator.model.decision import LeaveGates
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.run import RunHeader, RunStatus
from stepwell_orchestrator.ports import Acquired, Busy, Over, Unknown
from stepwell_orchestrator.worker.committing import Committer, FindSettlement
from stepwell_orchestrator.worker.discovering import Discoverer
from stepwell_orchestrator.worker.held_run import HeldRun
from stepwell_orchestrator.worker.limiting.call_slots import FIRST_TERM, CallSlots
from stepwell_orchestrator.worker.renewing import renewing
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Driver:
    """Takes runs and has them driven."""

    tools: Tools
    committer: Committer
    discoverer: Discoverer

    async def drive(
        self,
        run_id: str,
        deliveries: int,
        find_settlement: FindSettlement | None = None,
        *,
        entered: bool = False,
    ) -> int | None:
        """Bring a run as far as it gets. Returns when to try again, or None when nothing is left to this item.

        ``find_settlement`` is for an item that ends the wait of a step: the end is committed, whoever drives.
        ``entered``: the run's first drive went through the gates of its limits already.

        A driver that is alive sees the wish. Of a redelivered item the driver may be the worker that died with it, so
        that item stays until the lease runs out.
        """
        now_ms = self.tools.clock.now_ms()
        acquisition = await self.tools.journal.acquire(run_id, now_ms, now_ms + DRIVE_LEASE_MS)
        match acquisition:
            case Unknown():
                return None
            case Over(header):
                if entered:
                    await self._leave_gates(header)
                await self._finish_end(header, now_ms, deliveries)
                if find_settlement is not None:
                    await self._give_up(header, find_settlement)
                return None
            case Busy(until_ms):
                if find_settlement is None:
                    return until_ms if deliveries > 1 else None
            case Acquired():
                driven = await self._drive_acquired(acquisition, now_ms, find_settlement, entered)
                if driven or find_settlement is None:
                    return None
            case _:
                assert_never(acquisition)
        await self.committer.settle_without_lease(run_id, find_settlement)
        return await self.drive(run_id, deliveries)

    async def _drive_acquired(
        self, acquired: Acquired, now_ms: int, find_settlement: FindSettlement | None, entered: bool
    ) -> bool:
        """Drive until the run is given back. Returns False when another driver has it by now."""
        journal, header = self.tools.journal, acquired.header
        function = await self.tools.registry.get_function(header.function_id)
        slots = await self._slots(header, function, entered)

        async def renew(until_ms: int) -> bool:
            await slots.renew(until_ms)
            return await journal.renew(header.run_id, header.term, until_ms)

        async with renewing(self.tools.clock, renew, DRIVE_LEASE_MS):
            run = await journal.run_of(header)
            held = HeldRun(run, function, header.progress, header.term, header.wanted, seen_at_ms=now_ms)
            try:
                if acquired.takeover:
                    held = await self.committer.take_over(held)
                if find_settlement is not None:
                    held = await self.committer.settle(held, find_settlement)
                await self.discoverer.drive_until_released(held, slots)
                driven = True
            except LeaseLostError:
                driven = False
        await slots.leave()
        return driven

    async def _slots(self, header: RunHeader, function: Function | None, entered: bool) -> CallSlots:
        """The slots of this drive, held already if it is the run's first one and that went through its gates."""
        first = CallSlots.of_drive(self.tools.keeper, replace(header, term=FIRST_TERM), function, entered=entered)
        if header.term == FIRST_TERM:
            return first
        await first.leave()
        return CallSlots.of_drive(self.tools.keeper, header, function, entered=False)

    async def _leave_gates(self, header: RunHeader) -> None:
        """Give back what a run went through the gates with that was over by then."""
        function = await self.tools.registry.get_function(header.function_id)
        await CallSlots.of_drive(self.tools.keeper, replace(header, term=FIRST_TERM), function, entered=True).leave()
        await self.tools.dispatch([LeaveGates(header.run_id, header.function_id, header.flow)])

    async def _finish_end(self, header: RunHeader, now_ms: int, deliveries: int) -> None:
        """Carry out the commands of a run's end, if the driver that ended it may have died before.

        Its item is redelivered then. A copy of the item comes for the first time, perhaps, but hardly long after. No
        driver cancels: whoever did has an item of its own for that. And a child that is cancelled along with its caller
        answers a caller whose end would cancel the child again, and so on.
        """
        assert header.outcome is not None, f"run {header.run_id} is over and has no outcome"
        if header.outcome.status is RunStatus.CANCELLED:
            return
        if deliveries > 1 or now_ms - header.outcome.ended_at_ms < FRESH_END_MS:
            await self.tools.dispatch(recover(await self.tools.journal.run_of(header), now_ms))

    async def _give_up(self, header: RunHeader, find_settlement: FindSettlement) -> None:
        """Carry out what follows a wait of a run that is over: it ends with the run, and may still be filed."""
        settlement = await find_settlement(await self.tools.journal.run_of(header))
        await self.tools.dispatch(settlement.commands)
