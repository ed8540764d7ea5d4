"""How long an event takes to resume the one run that waits for it, with more and more runs waiting.

``python bench/wake.py [WAITING ...]`` fills the local backend with runs that each wait for an event about a user of
its own, then sends 1,000 events that resume 1,000 of them, for each number of waiting runs. Everything is real but
the network: ingest, routing, matching, calls of the function, commits on a SQLite file in a temporary folder.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import stepwell
from stepwell_orchestrator.entry.embedded import Embedded
from stepwell_orchestrator.model.notice import Notice, NoticeKind

WAITING: Final = (1_000, 10_000, 100_000)
RESUMED: Final = 1_000
BATCH: Final = 1_000
IDLE_S: Final = 60

app = stepwell.App("bench")


@app.function(on="bench/started", retries=0)
async def wait(ctx: stepwell.Context) -> Any:
    """Wait for the event about the run's own user."""
    came = await ctx.step.wait_for_event("paid", event="bench/paid", timeout="1d", match="data.user")
    return came and came.data["user"]


class Counter:
    """Counts notices of the kinds that matter, and wakes whoever waits for a count."""

    def __init__(self) -> None:
        self.waiting = 0
        self.completed = 0
        self.changed = asyncio.Event()

    def __call__(self, notice: Notice) -> None:
        """Take one notice."""
        self.waiting += notice.kind is NoticeKind.STEP_WAITING
        self.completed += notice.kind is NoticeKind.RUN_COMPLETED
        self.changed.set()

    async def until(self, *, waiting: int = 0, completed: int = 0) -> None:
        """Return once both counts are reached; raises TimeoutError when nothing at all happens for a minute."""
        while self.waiting < waiting or self.completed < completed:
            self.changed.clear()
            async with asyncio.timeout(IDLE_S):
                await self.changed.wait()


async def fill(engine: Embedded, counter: Counter, first: int, last: int) -> float:
    """Let the runs of users ``first`` up to ``last`` wait; seconds it took."""
    began = time.perf_counter()
    for start in range(first, last, BATCH):
        users = range(start, min(start + BATCH, last))
        await engine.send([stepwell.Event(name="bench/started", data={"user": user}) for user in users])
        await counter.until(waiting=users.stop)
    return time.perf_counter() - began


async def resume(engine: Embedded, counter: Counter, users: range) -> float:
    """Resume the runs of these users; seconds it took until the last of them had completed."""
    began, before = time.perf_counter(), counter.completed
    await engine.send([stepwell.Event(name="bench/paid", data={"user": user}) for user in users])
    await counter.until(completed=before + len(users))
    return time.perf_counter() - began


async def measure(steps: tuple[int, ...], folder: Path) -> None:
    """Print a row for each number of waiting runs."""
    counter = Counter()
    async with Embedded(folder / "bench.db", observe=counter) as engine:
        await engine.serve(app)
        started = resumed = 0
        print(f"{'waiting':>9}  {'ms per run until it waits':>25}  {'ms per event that resumes one':>29}")
        for waiting in steps:
            new = waiting - (started - resumed)
            filled_s = await fill(engine, counter, started, started + new)
            started += new
            woken = range(resumed, resumed + min(RESUMED, waiting))
            took_s = await resume(engine, counter, woken)
            resumed = woken.stop
            shown = f"{1_000 * filled_s / new:.2f}"
            print(f"{waiting:>9,}  {shown:>25}  {1_000 * took_s / len(woken):>29.2f}", flush=True)


def main() -> None:
    """Run for the numbers on the command line, ascending, or the default ones."""
    steps = tuple(sorted({int(text.replace(",", "")) for text in sys.argv[1:]})) or WAITING
    with tempfile.TemporaryDirectory(prefix="stepwell-bench-") as folder:
        asyncio.run(measure(steps, Path(folder)))


if __name__ == "__main__":
    main()
