"""What every part of a world shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.local.virtual_clock import VirtualClock
from tests.sim.chance import Faults, Knobs
from tests.sim.facts import Fact, Trouble
from tests.sim.trace import Trace
from tests.sim.witness import HANDLING, Witness


@dataclass(slots=True)
class Setting:
    """The true clock, the real backend, what goes wrong, and who is told."""

    knobs: Knobs
    clock: VirtualClock
    backend: LocalBackend
    witness: Witness
    faults: Faults
    trace: Trace
    tell: Callable[[Fact], int]
    count: Callable[[], int]
    entropy: Callable[[int], bytes]
    line_of: Callable[[Any], Any]
    worker_died: Callable[[Any], None]

    def trouble(self, what: str) -> None:
        """A fault struck whoever the current code works for."""
        handling = HANDLING.get(None)
        if handling is not None and handling.run_id:
            self.tell(Trouble(handling.run_id, what))

    async def wait_up_to(self, longest_ms: int) -> None:
        """Let some time pass."""
        await self.clock.sleep_until(self.clock.now_ms() + self.faults.duration_ms(longest_ms))
