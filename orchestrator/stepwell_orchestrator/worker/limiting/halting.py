"""Before a run starts and before each call: whether the function, or its app, stands still (decision 20).

The asker joins the line of the function's gate and looks again, strongly consistent, after that; who lifts a halt
lifts it first and looks at the line second. What may come between:

====================================  =====================================  ==========================================
who dies, or comes between            what the store shows                   who makes up for it
====================================  =====================================  ==========================================
the halt is lifted between the look   a waiter, no halt                      the asker: it looks again after it joined,
and the joining                                                              and leaves
  test_pausing.py::test_a_resume_before_the_joining_is_seen_by_the_second_look
the halt is lifted after the second   a waiter, then no halt                 who lifts it: it has the line opened after
look                                                                         that
  test_pausing.py::test_a_resume_after_the_second_look_sends_for_the_waiter
it is lifted, and put again, before   a waiter for another closing than      the asker: it joins again, for this one
the second look                       the one in force
  test_pausing.py::test_a_halt_that_became_another_one_is_waited_for_anew
who is sent for finds another halt,   a waiter for the new closing, which    who sent for it: it takes out who waits
and joins before it is taken out      is not the one that was over           for the closing that is over, and no other
  test_pausing.py::test_who_stands_in_line_again_is_not_taken_out
the asker waits, and its run is       a waiter of a run that is over         the canceller takes it out; else its item
cancelled                                                                    does nothing once it is sent for
  test_pausing.py::test_a_paused_run_is_cancelled_at_once
the asker dies after it joined        a waiter, and an expired lease         the sweep drives it: it joins again
  test_pausing.py::test_a_driver_that_dies_in_line_is_replaced_without_a_call
who lifts the halt dies before the    waiters, no halt                       the sweep, within a minute
line is opened
  test_pausing.py::test_a_resume_that_dies_is_finished_by_the_sweep
who opens the line dies amid a page   some sent for, not all taken out       its item's next delivery sends for those
                                                                             again: their items are the same
  test_pausing.py::test_a_page_that_is_cut_off_is_sent_again
====================================  =====================================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass

from stepwell_orchestrator.engine.flow.halting import halt_gate, halt_gates, halt_limit_id
from stepwell_orchestrator.engine.flow.wording import halt_text
from stepwell_orchestrator.flow_ports import Gates
from stepwell_orchestrator.model.flow import Halt, Halted, HaltScope, Place, Waiter
from stepwell_orchestrator.model.notice import Observe, unobserved
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.ports import Clock, Registry
from stepwell_orchestrator.worker.limiting.asker import Asker


@dataclass(frozen=True, slots=True)
class Halting:
    """Holds back what belongs to functions that stand still."""

    gates: Gates
    registry: Registry
    clock: Clock
    observe: Observe = unobserved

    async def lets(self, halted: Halted, asker: Asker) -> bool:
        """Whether a run may start, or a call of it be made. False: the asker stands in line."""
        function_id, app_id = asker.function_id, asker.app_id
        closing = (await self.registry.halts()).closing(halted, function_id, app_id)
        while closing is not None:
            gate, limit_id = halt_gate(halted, function_id), halt_limit_id(closing)
            waiter = Waiter(asker.place, function_id, limit_id, asker.work, self.clock.now_ms())
            await self.gates.join_line(gate, waiter)
            halts = await self.registry.halts_now()
            found = halts.closing(halted, function_id, app_id)
            if found == closing:
                self._tell_waiting(asker, halts.closed_by(halted, function_id, app_id))
                return False
            if found is None:
                await self.gates.leave_line(gate, asker.place, limit_id)
            closing = found
        return True

    def _tell_waiting(self, asker: Asker, closed: tuple[HaltScope, Halt] | None) -> None:
        if closed is not None:
            self.observe(asker.waiting_notice(halt_text(*closed), self.clock.now_ms()))

    async def concerns(self, function_id: str) -> bool:
        """Whether a function may stand still: whoever works for it reads its run's header then."""
        halts = await self.registry.halts()
        if not halts.by_scope:
            return False
        function = await self.registry.get_function(function_id)
        return function is None or bool(halts.scopes_over(function_id, function.app_id))

    async def leave(self, header: RunHeader) -> None:
        """Take a run that is over out of its function's lines, if it stands still."""
        if await self.concerns(header.function_id):
            for gate in halt_gates(header.function_id):
                await self.gates.leave_line(gate, Place(header.order_ms, header.run_id))
