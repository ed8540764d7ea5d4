"""What a person is told: of a failing seed and what it was shrunk to, and of all seeds in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.sim.backends import BackendName, odds
from tests.sim.chance import Fault
from tests.sim.coverage import missing_ends, missing_runs, missing_steps
from tests.sim.shrink import Shrunk, is_fault
from tests.sim.simulate import Report


def told(shrunk: Shrunk) -> str:
    """What broke, how little it takes, what happened to the run, and how to see more."""
    whole, least = shrunk.whole, shrunk.least
    run_id = "" if least.violation is None else least.violation.run_id
    on = "" if whole.backend == "sqlite" else f" BACKEND={whole.backend}"
    whom = least.trace.alias(run_id) if run_id else "the world"
    return "\n".join(
        [
            *whole.report.failures,
            "",
            f"  shrunk in {shrunk.tries} tries{'' if shrunk.minimal else ', and not to the end'}",
            f"    from  {_counted(whole.parts)}",
            f"    to    {_counted(least.parts)}",
            *(f"  {line}" for line in least.trace.faults()),
            "",
            f"  there, this happened to {whom}",
            *(f"  {line}" for line in least.trace.short(run_id)),
            "",
            f"  all of it:            make sim{on} SEED={whole.seed} TRACE=1",
            f"  all of what is left:  make sim{on} SEED={whole.seed} SHRINK=1 TRACE=1",
            "",
        ]
    )


def _counted(parts: Sequence[str]) -> str:
    """``2 workers, 1 skew, latency, function sim-f1, 1 fault``: by kind, and by name where the trace shows the name."""
    numbers = Counter(part.partition(" ")[0] for part in parts if part not in _named(parts))
    counts = [kind if kind in parts else f"{number} {kind}{'s'[: number - 1]}" for kind, number in numbers.items()]
    return ", ".join([*_named(parts), *counts])


def _named(parts: Sequence[str]) -> list[str]:
    kinds = Counter(part.partition(" ")[0] for part in parts)
    return [part for part in parts if kinds[part.partition(" ")[0]] == 1 and not is_fault(part)]


def summary(total: Report, backend: BackendName = "sqlite") -> list[str]:
    """All seeds: faults by kind, crash points, moves, ends."""
    faults = [*Fault, *odds(backend, 0)]
    lines = ["", f"faults injected ({total.faults.total()}, {len(total.faults)} of {len(faults)} kinds)"]
    lines += [f"  {total.faults[fault] or 'never':>8}  {fault}" for fault in faults]
    lines += ["", f"crash points covered ({len(total.crash_points)}, {total.crash_points.total()} deaths)"]
    lines += [f"  {count:>8}  {point}" for point, count in sorted(total.crash_points.items())]
    for title, moves, missing in (
        ("moves of steps", total.steps, missing_steps(total.steps)),
        ("ends of steps", total.ends, missing_ends(total.ends)),
        ("moves of runs", total.runs, missing_runs(total.runs)),
    ):
        lines += ["", title, *(f"  {count:>8}  {old} -> {new}" for (old, new), count in sorted(moves.items()))]
        lines += [f"  {'never':>8}  {move}: {reason}" for move, reason in missing]
    promises = Counter(total.broken.values())
    verdict = ", ".join(f"promise {promise} in {count}" for promise, count in sorted(promises.items()))
    lines += ["", f"{total.seeds} seeds, {len(total.broken)} violations{f': {verdict}' if verdict else ''}"]
    return lines
