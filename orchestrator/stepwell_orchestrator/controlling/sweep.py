"""The sweep: a run whose driver died is queued again, in case no other item would look at it.

What it makes up for:

===================================  =====================================  ==========================================
who dies, or comes between           what the journal shows                 who repeats it, and how
===================================  =====================================  ==========================================
a driver dies; its item is gone      a lease that expired, not released     the sweep queues a drive, which takes over
  test_pump.py::test_runs_of_dead_drivers_are_queued_at_the_start_and_every_minute
a driver dies; its item is still     a lease that expired and was never     the item's next delivery takes over
there                                renewed: it may be left out
  test_drive_lease.py::test_a_lease_is_found_once_its_first_item_may_be_gone
two sweeps find the same run         the same expired lease                 both, with one item: a sweep's number is
                                                                            in its id
  test_pump.py::test_a_run_is_queued_once_a_sweep
===================================  =====================================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from stepwell_orchestrator.controlling.lines import Lines
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
        """Forget up to ``limit`` of what has expired. Returns how much that was."""
        ...


@dataclass(frozen=True, slots=True)
class Sweep:
    """To be done every SWEEP_MS, by anybody."""

    journal: SweptJournal
    queue: Queue
    clock: Clock
    lines: Lines

    async def run(self) -> int:
        """Queue a drive of each run whose lease has expired, look after lines, and prune. Returns how many runs.

        A run that is found again within the same SWEEP_MS has the same item, so that it need not be queued twice.
        """
        now_ms = self.clock.now_ms()
        run_ids = await self.journal.expired_leases(now_ms, _RUNS_MAX)
        sweep = now_ms // SWEEP_MS
        await self.queue.send(
            [QueueItem(f"{run_id}:sweep:{sweep}", Drive(run_id, "sweep"), now_ms) for run_id in run_ids]
        )
        await self.lines.sweep()
        while await self.journal.prune(now_ms, _PRUNE_BATCH) == _PRUNE_BATCH:
            pass
        return len(run_ids)
