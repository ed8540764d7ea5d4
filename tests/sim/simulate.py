"""One seed, lived: its world, and what is to be told of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from tests.sim.checkers import ViolationError
from tests.sim.coverage import Move
from tests.sim.world import World

LAST_LINES = 60


@dataclass(slots=True)
class Report:
    """What one seed, or many, came to."""

    seeds: int = 0
    digest: str = ""
    failures: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    crash_points: Counter[str] = field(default_factory=Counter)
    steps: Counter[Move] = field(default_factory=Counter)
    runs: Counter[Move] = field(default_factory=Counter)

    def add(self, other: Report) -> None:
        """Take in another report."""
        self.seeds += other.seeds
        self.failures += other.failures
        for mine, theirs in (
            (self.faults, other.faults),
            (self.crash_points, other.crash_points),
        ):
            mine.update(theirs)
        self.steps.update(other.steps)
        self.runs.update(other.runs)


@dataclass(slots=True)
class Lived:
    """A report, and the whole trace it comes from."""

    report: Report
    lines: list[str]


def simulate(seed: int) -> Lived:
    """Live through the world of a seed."""
    return asyncio.run(_simulate(seed))


async def _simulate(seed: int) -> Lived:
    world = World(seed)
    failures: list[str] = []
    try:
        await world.live()
    except ViolationError as violation:
        failures.append(_explained(world, violation))
    report = Report(
        seeds=1,
        digest=world.trace.digest(),
        failures=failures,
        faults=world.faults.counts,
        crash_points=world.faults.crash_points,
        steps=world.coverage.steps,
        runs=world.coverage.runs,
    )
    return Lived(report, world.trace.lines())


def _explained(world: World, violation: ViolationError) -> str:
    about = f" ({world.trace.alias(violation.run_id)})" if violation.run_id else ""
    lines = world.trace.lines(violation.run_id)[-LAST_LINES:]
    return "\n".join(
        [
            f"seed {world.seed}: {violation}{about}",
            *(f"  {line}" for line in lines),
            f"  replay with: make sim SEED={world.seed} TRACE=1",
        ]
    )
