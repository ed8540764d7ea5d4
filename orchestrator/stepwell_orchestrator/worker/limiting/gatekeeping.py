"""Going through gates: all that a run's limits ask for, or none, and standing in line where it may not (decision 20).

The asker is the worker that is about to call on behalf of a run or a step. What may come between:

====================================  =====================================  ==========================================
who dies, or comes between            what the store shows                   who makes up for it
====================================  =====================================  ==========================================
room is made between the refusal and  room, and a waiter                     the asker: it looks again after it joined
the joining
  test_gatekeeping.py::test_room_made_before_the_joining_is_seen_by_the_second_look
room is made after the second look    a waiter, and then room                who makes room: it looks after that
  test_gatekeeping.py::test_room_made_after_the_second_look_sends_for_the_waiter
one that went through has not left    room that seems to be needed for it    who leaves a line looks at it, whether it
the line                                                                     went through or not
  test_gatekeeping.py::test_who_leaves_the_line_sends_for_the_next_one
a gate refuses after others did not   slots of the others                    the asker: it joins, then gives back, then
                                                                             looks at what it gave back
  test_gatekeeping.py::test_a_refusal_gives_back_what_was_taken
a waiter is let through one gate and  it stands at both                      the asker: it leaves the first one, and
refused at the next one                                                      sends for the next one there
  test_gatekeeping.py::test_a_waiter_stands_at_one_gate
the asker dies with its slots         slots whose time runs out              its item's redelivery has the same name
  test_gatekeeping.py::test_a_redelivered_start_takes_no_second_slot
a newcomer asks while others wait     room for those who wait                the newcomer: it may go when fewer stand
                                                                             before it than there is room for
  test_gatekeeping.py::test_a_newcomer_does_not_pass_those_who_wait
====================================  =====================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stepwell_orchestrator.controlling.lines import LINE_PAGE, Lines
from stepwell_orchestrator.engine.flow.gates import Gate, gate_ids
from stepwell_orchestrator.engine.flow.line import may_go
from stepwell_orchestrator.engine.flow.wording import limit_text
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.limits import DRIVE_LEASE_MS
from stepwell_orchestrator.model.decision import LeaveGates
from stepwell_orchestrator.model.flow import Counted, GateState, Place, Waiter
from stepwell_orchestrator.model.notice import Observe, unobserved
from stepwell_orchestrator.ports import Clock
from stepwell_orchestrator.worker.limiting.asker import Asker
from stepwell_orchestrator.worker.limiting.halting import Halting


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """Lets askers through gates."""

    flow: FlowPorts
    lines: Lines
    clock: Clock
    observe: Observe = unobserved

    @property
    def halting(self) -> Halting:
        """What holds back functions that stand still."""
        return Halting(self.flow.gates, self.lines.registry, self.clock, self.observe)

    async def enter(self, asker: Asker, gates: Sequence[Gate]) -> bool:
        """Go through all gates, which are in the one order of all runs. Slots for calls last DRIVE_LEASE_MS.

        Returns False when one refuses: then the asker stands in its line and in no other, and holds nothing. It is to
        do nothing more: its work is queued when there is room.
        """
        passed: list[Gate] = []
        stood_at: list[str] = []
        for gate in gates:
            stood, passes = await self._ask(asker, gate)
            if not passes:
                await self.leave_lines(asker.place, stood_at)
                await self.leave(asker, passed)
                return False
            passed.append(gate)
            if stood:
                stood_at.append(gate.id)
        await self.leave_lines(asker.place, stood_at)
        return True

    async def renew(self, asker: Asker, gates: Sequence[Gate], until_ms: int) -> None:
        """Prolong the slots for calls."""
        for gate in gates:
            if gate.limit.counts is Counted.CALLS:
                await self.flow.gates.renew_slot(gate.id, asker.holder, until_ms)

    async def leave(self, asker: Asker, gates: Sequence[Gate]) -> None:
        """Give slots back and send for those who wait for them."""
        for gate in gates:
            if gate.limit.rate is None:
                await self.flow.gates.give_slot(gate.id, asker.holder_at(gate))
                await self.lines.send_for_next(gate.id)

    async def leave_lines(self, place: Place, gate_ids: Iterable[str]) -> None:
        """Leave lines, whoever stands there, and send for those who stand behind."""
        for gate in gate_ids:
            await self.flow.gates.leave_line(gate, place)
            await self.lines.send_for_next(gate)

    async def leave_as_ended(self, ended: LeaveGates) -> None:
        """Give back what a run that is over holds as a run, and leave its lines."""
        for gate in gate_ids(ended.flow, ended.function_id):
            await self.flow.gates.give_slot(gate, ended.run_id)
            await self.leave_lines(Place(ended.flow.order_ms, ended.run_id), [gate])

    async def _ask(self, asker: Asker, gate: Gate) -> tuple[bool, bool]:
        """Ask at one gate. Returns whether somebody stood in its line, perhaps the asker, and whether it passes."""
        state = await self._look(gate)
        if await self._passes(asker, gate, state):
            return bool(state.line), True
        now_ms = self.clock.now_ms()
        waiter = Waiter(asker.place, asker.function_id, gate.limit.id, asker.work, now_ms)
        await self.flow.gates.join_line(gate.id, waiter)
        state = await self._look(gate)
        if await self._passes(asker, gate, state):
            return True, True
        self._tell_waiting(asker, gate, state)
        if gate.limit.rate is not None and state.line[:1] and state.line[0].place == asker.place:
            await self.lines.set_timer(gate.id, gate.limit.rate, state.tat_ms)
        return True, False

    def _tell_waiting(self, asker: Asker, gate: Gate, state: GateState) -> None:
        """Tell that a run begins to wait: not when it was sent for and refused again."""
        if any(waiter.place == asker.place and waiter.turn > 1 for waiter in state.line):
            return
        rate = gate.limit.rate
        text = limit_text(gate.limit.id, gate.key, gate.limit.most if rate is None else rate.limit)
        self.observe(asker.waiting_notice(text, self.clock.now_ms()))

    async def _look(self, gate: Gate) -> GateState:
        return await self.flow.gates.look(gate.id, self.clock.now_ms(), waiters=LINE_PAGE)

    async def _passes(self, asker: Asker, gate: Gate, state: GateState) -> bool:
        """Take a slot or a start, if it is the asker's turn. One that holds its slot already passes in any case."""
        now_ms, limit, holder = self.clock.now_ms(), gate.limit, asker.holder_at(gate)
        holds = holder in state.takers or any(other.name == holder for other in state.holders)
        if not holds and not may_go(limit, state, asker.place, now_ms):
            return False
        if limit.rate is not None:
            return await self.flow.rates.take_token(gate.id, limit.rate, holder, now_ms)
        until_ms = now_ms + DRIVE_LEASE_MS if limit.counts is Counted.CALLS else None
        return await self.flow.gates.take_slot(gate.id, limit.most, holder, now_ms=now_ms, until_ms=until_ms)
