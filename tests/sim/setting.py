"""What every part of a world shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from tests.sim.backends import Backend
from tests.sim.chance import Fault, Faults, Knobs, Lots
from tests.sim.facts import Fact, Trouble
from tests.sim.trace import Trace, told
from tests.sim.witness import HANDLING, NOBODY


@dataclass(slots=True)
class Setting:
    """The true clock, the real backend, what goes wrong, and who is told."""

    knobs: Knobs
    clock: VirtualClock
    backend: Backend
    lots: Lots
    faults: Faults
    trace: Trace
    tell: Callable[[Fact], int]
    count: Callable[[], int]
    entropy: Callable[[int], bytes]
    line_of: Callable[[Any], Any]
    worker_died: Callable[[Any], None]
    in_ports: dict[asyncio.Task[Any], None] = field(default_factory=dict)
    """What has reached a port and is not done: a worker that died there never comes back, and is not forgotten."""

    def left_port(self, done: asyncio.Task[Any]) -> None:
        """Something in a port is done; who began it may be dead and not ask for the result."""
        del self.in_ports[done]
        _ = done.cancelled() or done.exception()

    def strike(self, kinds: Sequence[Fault], who: str, where: str, args: Sequence[Any] = ()) -> Fault | None:
        """What goes wrong now, if anything, at the port call ``where`` of ``who``; the trace tells of it."""
        handling, about = HANDLING.get(NOBODY), self.trace.about(args)
        fault = self.faults.draw(kinds, where, f"{handling.whom} {about}")
        if fault is not None:
            self.trace.strike(who, told(fault, where, about), handling.run_id)
        return fault

    def trouble(self, what: str) -> None:
        """A fault struck whoever the current code works for."""
        run_id = HANDLING.get(NOBODY).run_id
        if run_id:
            self.tell(Trouble(run_id, what))

    def duration_ms(self, longest_ms: int, why: str) -> int:
        """How long something takes."""
        return self.lots.up_to(longest_ms, f"{HANDLING.get(NOBODY).whom} {why}")

    async def wait_up_to(self, longest_ms: int, why: str) -> None:
        """Let some time pass."""
        await self.clock.sleep_until(self.clock.now_ms() + self.duration_ms(longest_ms, why))
