"""The sweep: what nobody else looks after any more is queued again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from stepwell_orchestrator.limits import SWEEP_MS
from stepwell_orchestrator.model.queue_item import Drive, QueueItem
from stepwell_orchestrator.ports import Clock, Queue

_RUNS_MAX: Final = 5_000
_PRUNE_BATCH: Final = 10_000


class SweptJournal(Protocol):
    """What a sweep looks after."""

    async def expired_leases(self, now_ms: int, limit: int) -> list[str]:
        """Runs whose driver died."""
        ...

    async def prune(self, now_ms: int, limit: int) -> int:
        """Forget what has expired; how much that was."""
        ...


@dataclass(frozen=True, slots=True)
class Sweep:
    """To be done every SWEEP_MS, by anybody."""

    journal: SweptJournal
    queue: Queue
    clock: Clock

    async def run(self) -> int:
        """Queue a drive of each run whose lease has expired, and prune; how many runs.

        A run that is found again within the same SWEEP_MS has the same item, so that it need not be queued twice.
        """
        now_ms = self.clock.now_ms()
        run_ids = await self.journal.expired_leases(now_ms, _RUNS_MAX)
        sweep = now_ms // SWEEP_MS
        await self.queue.send(
            [QueueItem(f"{run_id}:sweep:{sweep}", Drive(run_id, "sweep"), now_ms) for run_id in run_ids]
        )
        while await self.journal.prune(now_ms, _PRUNE_BATCH) == _PRUNE_BATCH:
            pass
        return len(run_ids)
