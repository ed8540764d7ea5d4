"""One seed, lived: its world, and what is to be told of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from tests.sim.backends import BackendName
from tests.sim.checkers import ViolationError
from tests.sim.coverage import Move
from tests.sim.plan import Plan
from tests.sim.trace import Trace
from tests.sim.world import World


@dataclass(slots=True)
class Report:
    """What one seed, or many, came to.

    ``failures`` has a line for each seed that broke a promise, ``broken`` the promise by the seed.
    """

    seeds: int = 0
    digest: str = ""
    failures: list[str] = field(default_factory=list)
    broken: dict[int, int] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    crash_points: Counter[str] = field(default_factory=Counter)
    steps: Counter[Move] = field(default_factory=Counter)
    runs: Counter[Move] = field(default_factory=Counter)
    ends: Counter[Move] = field(default_factory=Counter)

    def add(self, other: Report) -> None:
        """Take in another report."""
        self.seeds += other.seeds
        self.failures += other.failures
        self.broken |= other.broken
        for mine, theirs in (
            (self.faults, other.faults),
            (self.crash_points, other.crash_points),
        ):
            mine.update(theirs)
        self.steps.update(other.steps)
        self.runs.update(other.runs)
        self.ends.update(other.ends)


@dataclass(frozen=True, slots=True)
class Lived:
    """A world that was lived: its report, its trace, the parts it had, and the promise it broke, if any."""

    seed: int
    backend: BackendName
    report: Report
    trace: Trace
    parts: tuple[str, ...]
    violation: ViolationError | None


def simulate(
    seed: int, only: Collection[str] | None = None, *, backend: BackendName = "sqlite", schedules: bool = False
) -> Lived:
    """Live through the world of a seed, or through what remains of it when ``only`` some of its parts join in.

    With ``schedules`` the clock starts one more function in it.
    """
    return asyncio.run(_simulate(seed, Plan(only), backend, schedules=schedules))


async def _simulate(seed: int, plan: Plan, backend: BackendName, *, schedules: bool) -> Lived:
    world = World(seed, plan, backend, schedules=schedules)
    violation: ViolationError | None = None
    try:
        await world.live()
    except ViolationError as found:
        violation = found
    except Exception as error:
        error.add_note(f"in the world of seed {seed}")
        raise
    report = Report(
        seeds=1,
        digest=world.trace.digest(),
        failures=[] if violation is None else [verdict(seed, world.trace, violation)],
        broken={} if violation is None else {seed: violation.promise},
        faults=world.faults.counts,
        crash_points=world.faults.crash_points,
        steps=world.coverage.steps,
        runs=world.coverage.runs,
        ends=world.coverage.ends,
    )
    return Lived(seed, backend, report, world.trace, tuple(plan.taken), violation)


def verdict(seed: int, trace: Trace, violation: ViolationError) -> str:
    """A broken promise in one line."""
    about = f" ({trace.alias(violation.run_id)})" if violation.run_id else ""
    return f"seed {seed}: {violation}{about}"
