"""The lines at gates: whoever makes room sends for those who may go, and the sweep does where nobody else would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stepwell_orchestrator.engine.flow.gates import limit_of
from stepwell_orchestrator.engine.flow.halting import halt_limit, is_halt
from stepwell_orchestrator.engine.flow.line import admissible
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.model.flow import GateState, Limit, Waiter
from stepwell_orchestrator.model.queue_item import OpenGate, QueueItem
from stepwell_orchestrator.model.rate import Rate
from stepwell_orchestrator.ports import Clock, Journal, Queue, Registry

LINE_PAGE: Final = 100
"""How many of a line one look takes. Where there is room for more of them, the look is repeated."""
_GATES_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Lines:
    """Sends for waiters. A waiter stays in line until it went through, so sending for it again is harmless."""

    flow: FlowPorts
    journal: Journal
    registry: Registry
    queue: Queue
    clock: Clock

    async def send_for_next(self, gate: str) -> int:
        """Queue the work of all who may go now, and set the timer of a rate for those behind them. Returns how many.

        To be called after room was made at a gate, and after somebody left its line. The item of a waiter has the
        number of its turn in its id: it is queued once until the waiter has joined again, after which it looks by
        itself.
        """
        state = await self.flow.gates.look(gate, self.clock.now_ms(), waiters=LINE_PAGE)
        return await self._send_for(gate, state)

    async def set_timer(self, gate: str, rate: Rate, tat_ms: int | None) -> None:
        """Have the gate opened when its rate lets the next one through, unless that is arranged."""
        now_ms = self.clock.now_ms()
        due_at_ms = rate.next_ms(tat_ms, now_ms)
        if await self.flow.rates.arm(gate, due_at_ms, now_ms):
            await self.queue.send([QueueItem(f"{gate}:open:{due_at_ms}", OpenGate(gate, due_at_ms), due_at_ms)])

    async def sweep(self) -> int:
        """Send for those who may go at any gate that is waited at: who made room there may have died.

        Returns how many were sent for.
        """
        sent = 0
        cursor: str | None = None
        while True:
            gates, cursor = await self.flow.gates.gates_waited_at(cursor=cursor, limit=_GATES_PAGE)
            for gate in gates:
                sent += await self._sweep_gate(gate)
            if cursor is None:
                return sent

    async def _sweep_gate(self, gate: str) -> int:
        state = await self.flow.gates.look(gate, self.clock.now_ms(), waiters=LINE_PAGE)
        if not state.line:
            await self.flow.gates.forget_line(gate)
        elif await self._free_slots_of_ended_runs(gate, state):
            return await self.send_for_next(gate)
        return await self._send_for(gate, state) if state.line else await self.send_for_next(gate)

    async def _free_slots_of_ended_runs(self, gate: str, state: GateState) -> bool:
        """Give back what runs hold that are over: who ended them may have died before it did."""
        freed = False
        for holder in state.holders:
            if holder.until_ms is None and await self._is_over(holder.name):
                await self.flow.gates.give_slot(gate, holder.name)
                freed = True
        return freed

    async def _is_over(self, run_id: str) -> bool:
        header = await self.journal.get_header(run_id)
        return header is None or header.outcome is not None

    async def _send_for(self, gate: str, state: GateState) -> int:
        sent = 0
        now_ms = self.clock.now_ms()
        limits = await self._limits(state)
        going = admissible(state, lambda waiter: limits[waiter.function_id, waiter.limit_id], now_ms)
        await self.queue.send([_item(gate, waiter, now_ms) for waiter in going])
        sent += len(going)
        await self._take_out(gate, [waiter for waiter in going if is_halt(waiter.limit_id)], now_ms)
        await self._set_timer_behind(gate, state, going, limits)
        return sent

    async def _take_out(self, gate: str, going: list[Waiter], now_ms: int) -> None:
        """Take those out of the line whose halt is over, now that their work is queued; a full page has a next one.

        At a gate of a limit each leaves by itself, when it went through. Here all go, however many they are: so they
        are taken out page by page, and nobody looks at the line for each of them.
        """
        for waiter in going:
            await self.flow.gates.leave_line(gate, waiter.place, waiter.limit_id)
        if len(going) == LINE_PAGE:
            await self.queue.send(
                [QueueItem(f"{gate}:open:{going[-1].place.waiter}:{going[-1].limit_id}", OpenGate(gate), now_ms)]
            )

    async def _set_timer_behind(
        self, gate: str, state: GateState, going: list[Waiter], limits: Mapping[tuple[str, str], Limit | None]
    ) -> None:
        """Where the line is of a rate, open the gate again for the first one that may not go yet."""
        behind = next((waiter for waiter in state.line if waiter not in going), None)
        limit = None if behind is None else limits[behind.function_id, behind.limit_id]
        if limit is None or limit.rate is None:
            return
        tat_ms, now_ms = state.tat_ms, self.clock.now_ms()
        for _ in going:
            tat_ms = limit.rate.after_one(tat_ms, now_ms)
        await self.set_timer(gate, limit.rate, tat_ms)

    async def _limits(self, state: GateState) -> dict[tuple[str, str], Limit | None]:
        """The limits that those in line wait for, as their functions have them now."""
        found: dict[tuple[str, str], Limit | None] = {}
        for waiter in state.line:
            key = waiter.function_id, waiter.limit_id
            if key not in found:
                found[key] = await self._limit(waiter)
        return found

    async def _limit(self, waiter: Waiter) -> Limit | None:
        if is_halt(waiter.limit_id):
            return halt_limit(waiter.limit_id, await self.registry.halts_now())
        return limit_of(await self.registry.get_function(waiter.function_id), waiter.limit_id)


def _item(gate: str, waiter: Waiter, now_ms: int) -> QueueItem:
    """Who waits for a halt is taken out of line, and its turns begin anew: the halt's closing is named instead."""
    occasion = waiter.limit_id if is_halt(waiter.limit_id) else waiter.turn
    return QueueItem(f"{waiter.place.waiter}:go:{gate}:{occasion}", waiter.work, now_ms)
