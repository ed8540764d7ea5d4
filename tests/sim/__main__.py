"""``make sim``: many seeds over two processes, or one with its trace; SEED, SEEDS and TRACE in the environment say."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.sim.coverage import missing_runs, missing_steps
from tests.sim.simulate import Report, simulate

_BATCH = 20


def main() -> int:
    """The exit code."""
    if seed := os.environ.get("SEED"):
        return _one(int(seed), whole=bool(os.environ.get("TRACE")))
    return _many(int(os.environ.get("SEEDS") or 2_000), int(os.environ.get("PROCESSES") or 2))


def _one(seed: int, *, whole: bool) -> int:
    lived = simulate(seed)
    if whole:
        print("\n".join(lived.trace.lines()))
    print(*lived.report.failures or [f"seed {seed}: every promise held"], f"trace {lived.report.digest}", sep="\n")
    return 1 if lived.report.failures else 0


def _many(seeds: int, processes: int) -> int:
    total = Report()
    batches = [range(start, min(start + _BATCH, seeds)) for start in range(0, seeds, _BATCH)]
    with ProcessPoolExecutor(processes) as pool:
        for report in pool.map(_batch, batches):
            total.add(report)
            print(f"\r{total.seeds} of {seeds} seeds, {len(total.failures)} failures", end="", file=sys.stderr)
            for failure in report.failures:
                print(f"\n{failure}", flush=True)
    print(file=sys.stderr)
    print("\n".join(_summary(total)))
    return 1 if total.failures else 0


def _batch(seeds: range) -> Report:
    total = Report()
    for seed in seeds:
        total.add(simulate(seed).report)
    return total


def _summary(total: Report) -> list[str]:
    lines = [f"{total.seeds} seeds, {len(total.failures)} failures", "", "faults injected"]
    lines += [f"  {count:>8}  {fault}" for fault, count in sorted(total.faults.items())]
    lines += ["", f"crash points ({len(total.crash_points)})"]
    lines += [f"  {count:>8}  {point}" for point, count in sorted(total.crash_points.items())]
    for title, moves, missing in (
        ("moves of steps", total.steps, missing_steps(total.steps)),
        ("moves of runs", total.runs, missing_runs(total.runs)),
    ):
        lines += ["", title, *(f"  {count:>8}  {old} -> {new}" for (old, new), count in sorted(moves.items()))]
        lines += [f"  {'never':>8}  {move}: {reason}" for move, reason in missing]
    return lines


if __name__ == "__main__":
    sys.exit(main())
