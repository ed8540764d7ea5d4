"""Starting a run: it goes through the gates of its limits before anybody has its drive lease, so it stays queued.

So it does where its function stands still, before it asks at any limit. Of a run without limits whose function does
not, nothing is read before it is driven.

What may come between:

===================================  =====================================  ==========================================
who dies, or comes between           what the store shows                   who makes up for it
===================================  =====================================  ==========================================
the starter dies with its slots, or  slots of the run and of its first      the item's next delivery: it holds them
its start of a rate                  drive, a run that has not started      already, and is a known taker
  test_starting.py::test_a_crash_between_slot_and_start_starts_the_run_once
the item is delivered twice, at      one holder, one driver                 nobody: both have one name, and the lease
once                                                                        is one driver's
  test_starting.py::test_a_start_that_is_delivered_twice_holds_one_slot
the run ended before it started      the end                                the starter: it leaves every line, gives
                                                                            back, and sends for the next
  test_starting.py::test_a_run_cancelled_in_line_lets_the_next_one_go
another drive had the run meanwhile  a later term                           the starter: it gives back the slot of the
                                                                            first drive
  test_starting.py::test_a_slot_for_a_drive_that_was_another_one_is_given_back
===================================  =====================================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass

from stepwell_orchestrator.engine.flow.gates import gates_of
from stepwell_orchestrator.model.decision import LeaveGates
from stepwell_orchestrator.model.flow import Halted
from stepwell_orchestrator.model.queue_item import Start
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.worker.driving import Driver
from stepwell_orchestrator.worker.limiting.call_slots import FIRST_TERM, driver
from stepwell_orchestrator.worker.limiting.gatekeeping import Gatekeeper
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts runs."""

    tools: Tools
    keeper: Gatekeeper
    driver: Driver

    async def start(self, work: Start, deliveries: int) -> int | None:
        """Drive a run once it is let. Returns when to try again, or None when nothing is left to this item."""
        run_id = work.run_id
        if work.function_id and not await self.keeper.halting.concerns(work.function_id):
            return await self.driver.drive(run_id, deliveries)
        header = await self.tools.journal.get_header(run_id)
        if header is None:
            return None
        if header.outcome is not None:
            await self.tools.dispatch([LeaveGates(run_id, header.function_id, header.flow)])
        elif header.started_at_ms is None:
            return await self._start(header, deliveries)
        return await self.driver.drive(run_id, deliveries)

    async def _start(self, header: RunHeader, deliveries: int) -> int | None:
        asker = driver(header, FIRST_TERM)
        if not await self._completes(header) and not await self.keeper.halting.lets(Halted.STARTS, asker):
            return None
        gates = gates_of(header.flow, await self.tools.registry.get_function(header.function_id))
        if not await self.keeper.enter(asker, gates):
            return None
        return await self.driver.drive(header.run_id, deliveries, entered=True)

    async def _completes(self, header: RunHeader) -> bool:
        """Whether a run that has started needs this one to go on to its end, and both are part of what drains."""
        if header.invoked_by is None:
            return False
        halts = await self.tools.registry.halts()
        scopes = halts.scopes_over(header.function_id, header.app_id)
        if not scopes or halts.closing(Halted.CALLS, header.function_id, header.app_id) is not None:
            return False
        caller = await self.tools.journal.get_header(header.invoked_by.run_id)
        if caller is None or caller.outcome is not None:
            return False
        return scopes <= halts.scopes_over(caller.function_id, caller.app_id)
