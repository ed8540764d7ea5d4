"""Why a run is not running: the limit that it waits for, who is in its way, and when it is looked at again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stepwell.wire.times import format_instant
from stepwell_orchestrator.engine.flow.gates import Gate, gates_of
from stepwell_orchestrator.engine.flow.wording import limit_text
from stepwell_orchestrator.flow_ports import FlowPorts
from stepwell_orchestrator.limits import SWEEP_MS
from stepwell_orchestrator.model.flow import GateState, Place
from stepwell_orchestrator.model.run import RunHeader
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.ports import Clock, Registry

AHEAD_MAX: Final = 1_000
"""Of more that stand before a run nobody is told the number."""
_HOLDERS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """What a run waits for. ``ahead`` stand before it, AHEAD_MAX at most; ``again_at_ms`` is the latest next look.

    ``holders`` are the runs that hold the slots, and are none where starts are limited over time.
    """

    limit: str
    key: str
    most: int
    holders: tuple[str, ...]
    ahead: int
    again_at_ms: int

    @property
    def text(self) -> str:
        """The same in words."""
        held = f"; held by {_holders_text(self.holders)}" if self.holders else ""
        return (
            f"waits at a limit: {limit_text(self.limit, self.key, self.most)}{held}; {ahead_text(self.ahead)}; "
            f"looked at again by {format_instant(self.again_at_ms)}"
        )


@dataclass(frozen=True, slots=True)
class WaitsOfRuns:
    """Finds out what runs wait for."""

    flow: FlowPorts
    registry: Registry
    clock: Clock

    async def of(self, header: RunHeader, planned: StepEntry | None = None) -> WaitingFor | None:
        """What a run, or one planned step of it, waits for; None when no limit holds it back now.

        It may have gone on by the time it is told.
        """
        if header.outcome is not None or not header.limited:
            return None
        name = header.run_id if planned is None else f"{header.run_id}:{planned.step_id}:{planned.attempt}"
        place = Place(header.order_ms, name)
        for gate in gates_of(header.flow, await self.registry.get_function(header.function_id)):
            ahead = await self.flow.gates.count_ahead(gate.id, place, AHEAD_MAX)
            state = await self.flow.gates.look(gate.id, self.clock.now_ms(), waiters=ahead + 1)
            if any(waiter.place == place for waiter in state.line):
                return self._told(gate, state, ahead)
        return None

    def _told(self, gate: Gate, state: GateState, ahead: int) -> WaitingFor:
        now_ms, rate = self.clock.now_ms(), gate.limit.rate
        return WaitingFor(
            limit=gate.limit.id,
            key=gate.key,
            most=gate.limit.most if rate is None else rate.limit,
            holders=tuple(holder.name.partition(":")[0] for holder in state.holders),
            ahead=ahead,
            again_at_ms=now_ms + SWEEP_MS if rate is None else rate.next_ms(state.tat_ms, now_ms),
        )


def ahead_text(ahead: int) -> str:
    """How many stand before somebody in line."""
    if ahead == 0:
        return "next in line"
    return f"{ahead}{' or more' if ahead == AHEAD_MAX else ''} before it in line"


def _holders_text(holders: tuple[str, ...]) -> str:
    more = len(holders) - _HOLDERS_SHOWN
    return ", ".join(holders[:_HOLDERS_SHOWN]) + (f" and {more} more" if more > 0 else "")
