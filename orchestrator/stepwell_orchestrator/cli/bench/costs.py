"""The workloads that budgets are set for, counted and priced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stepwell.wire.times import DAY_MS
from stepwell_orchestrator.aws.table.retention import Retention
from stepwell_orchestrator.cli.bench.idle import month
from stepwell_orchestrator.costing.bill import Line, Rates, Work, bill
from stepwell_orchestrator.costing.prices import Good, dollars
from stepwell_orchestrator.entry.rehearsal.rehearsal import rehearsing
from stepwell_orchestrator.entry.rehearsal.workloads import (
    FAR_NAP_MS,
    FEW_WAITING,
    NAP_MS,
    STEPS,
    WIDTH,
    Saving,
    Workloads,
    an_app,
    routing,
)

MILLION: Final = 1_000_000
STEP_BUDGET: Final = 2.50
CHECKPOINTED_BUDGET: Final = 1.00
WAIT_BUDGET: Final = 2.50
STEP_WRITES_BUDGET: Final = 1
MESSAGES_BUDGET: Final = 2
CALLS_BUDGET: Final = WIDTH + 3
_GB: Final = 1024**3
_MONTH_DAYS: Final = 30.4


@dataclass(frozen=True, slots=True)
class Cost:
    """What one of a workload takes, and what a million cost; ``budget`` in dollars, too."""

    key: str
    name: str
    of: str
    work: Work
    lines: Mapping[Line, float]
    budget: float | None = None

    @property
    def dollars(self) -> float:
        """For a million."""
        return sum(self.lines.values())

    @property
    def over(self) -> float | None:
        """By how much the budget is missed; None when it is met, or there is none."""
        rounded = round(self.dollars, 2)
        return None if self.budget is None or rounded <= self.budget else round(rounded - self.budget, 2)


@dataclass(frozen=True, slots=True)
class Count:
    """A number that has a bound; ``why`` is what is in it."""

    key: str
    name: str
    value: float
    budget: float
    why: str

    @property
    def met(self) -> bool:
        """Whether it is within its bound."""
        return round(self.value, 2) <= self.budget


@dataclass(frozen=True, slots=True)
class Report:
    """All that was counted. ``stored`` is what a run of ten steps leaves: bytes, and dollars for a million steps."""

    costs: tuple[Cost, ...]
    counts: tuple[Count, ...]
    stored_bytes: float
    stored_dollars: float
    idle: Mapping[str, float]


def measure(rates: Rates, *, waiting: int, log_level: str) -> Report:
    """Rehearse everything. Raises DefinitionError when it cannot be."""
    with rehearsing({"bench": an_app()}, log_level) as rehearsal:
        busy, quiet, alone = Workloads(rehearsal), Workloads(rehearsal, 1), Workloads(rehearsal, runs=1)
        bare, sequential, event = busy.bare(), busy.sequential(), busy.unheard()
        wait = busy.wait().without(bare).without(event)
        parallel = alone.parallel()

        def cost(key: str, name: str, of: str, work: Work, budget: float | None = None) -> Cost:
            lines = {line: amount * MILLION for line, amount in bill(work, rates).items()}
            return Cost(key, name, of, work, lines, budget)

        def steps(work: Work, count: int = STEPS) -> Work:
            return work.times(1 / count)

        def saved(saving: Saving) -> Work:
            return steps(busy.sequential(saving=saving))

        costs = (
            cost("sequential", f"{STEPS} steps of 1 KB, busy queue", "step", steps(sequential), STEP_BUDGET),
            cost("checkpointed", "the same, each saved", "step", saved("checkpointed"), CHECKPOINTED_BUDGET),
            cost("buffered", "the same, saved together", "step", saved("buffered"), CHECKPOINTED_BUDGET),
            cost("sequential_noise", "the same unsaved, of random bytes", "step", steps(busy.sequential(noise=True))),
            cost("sequential_quiet", "the same, quiet queue", "step", steps(quiet.sequential())),
            cost("run", "a run without steps, and its event", "run", bare),
            cost("sleep", "a sleep of a minute", "sleep", busy.sleep(NAP_MS).without(bare), WAIT_BUDGET),
            cost("far_sleep", "a sleep of 30 days", "sleep", busy.sleep(FAR_NAP_MS).without(bare), WAIT_BUDGET),
            cost("wait", "a wait, without the event that ends it", "wait", wait, WAIT_BUDGET),
            cost("event", "an event that starts or ends nothing", "event", event),
            cost("parallel", f"{WIDTH} steps of 1 KB in parallel, then one", "step", steps(parallel, WIDTH + 1)),
        )
        stored_bytes, idle = busy.stored_bytes(), month(busy.sweep(), rates)
    more = steps(sequential.without(bare))
    counts = (*_of_runs(more, sequential, parallel), *_of_routing(waiting))
    return Report(costs, counts, stored_bytes, _kept(stored_bytes / STEPS * MILLION, rates), idle)


def _of_runs(step: Work, sequential: Work, parallel: Work) -> tuple[Count, ...]:
    return (
        Count(
            "step_writes",
            "write units of one more step in sequence",
            step.total("dynamodb").write_units,
            STEP_WRITES_BUDGET,
            "its entry",
        ),
        Count(
            "messages",
            "messages of a run without waits",
            sequential.messages,
            MESSAGES_BUDGET,
            "routing its event, and starting it",
        ),
        Count(
            "parallel_calls",
            f"calls of {WIDTH} parallel steps and one more",
            parallel.app_calls,
            CALLS_BUDGET,
            "one a step, and discoveries",
        ),
    )


def _of_routing(waiting: int) -> tuple[Count, ...]:
    few, many = routing(FEW_WAITING), routing(waiting)
    return (
        Count(
            "routing_requests",
            f"requests to route an event that 1 of {waiting:,} waits for, as against 1 of {FEW_WAITING}",
            many.total().requests,
            few.total().requests,
            "by key, whatever the number",
        ),
        Count(
            "routing_reads",
            "read units of that, as against the same",
            many.total("dynamodb").read_units,
            few.total("dynamodb").read_units,
            "by key, whatever the number",
        ),
    )


def _kept(stored_bytes: float, rates: Rates) -> float:
    """What it costs to keep so much in the table for as long as entries are kept, backups included."""
    gb_months = stored_bytes / _GB * Retention().life_ms / DAY_MS / _MONTH_DAYS
    goods = (Good.TABLE_GB_MONTH, Good.BACKUP_GB_MONTH)
    return sum(dollars(rates.prices, good, gb_months) for good in goods)
