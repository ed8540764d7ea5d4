"""The demo's closing report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from stepwell_orchestrator.cli.demo.order_records import RunRecord
from stepwell_orchestrator.cli.demo.tally import Tally
from stepwell_orchestrator.cli.terminal import glyphs
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.terminal.display import duration_text
from stepwell_orchestrator.terminal.drawing import draw_timeline
from stepwell_orchestrator.terminal.timeline import read_timeline

_MISMATCHES_SHOWN = 20


def print_summary(console: Console, tally: Tally, wall_ms: int) -> None:
    """Runs by function and status, and time per step."""
    functions = sorted({function for function, _ in tally.runs})
    table = _table("function", "runs", *(str(status) for status in _ENDS))
    for function in functions:
        counts = [tally.runs[function, status] for status in _ENDS]
        table.add_row(function, str(sum(counts)), *(str(count or "") for count in counts))
    console.print(table)
    console.print()
    table = _table("step", "ended", "retries", "failed", "mean", "longest")
    for (function, name), step in sorted(tally.steps.items()):
        mean_ms = step.total_ms // (step.ended or 1)
        cells = (step.ended, step.retries or "", step.failed or "", duration_text(mean_ms))
        table.add_row(f"{function}  {name}", *map(str, cells), duration_text(step.longest_ms))
    console.print(table)
    console.print()
    calls = f", {tally.calls} call requests" if tally.calls else ""
    console.print(
        f"{tally.ended} runs, {tally.steps_ended} steps, {tally.retries} retries{calls} in {duration_text(wall_ms)}"
    )


def print_timeline(console: Console, records: Sequence[RunRecord]) -> None:
    """The run that has most to show: completed, with most retries and steps."""
    completed = [record for record in records if record.status == "Completed"]
    if not completed:
        return
    chosen = max(completed, key=lambda record: (record.retries, len(record.steps)))
    timeline = read_timeline(chosen.body, chosen.steps, now_ms=0)
    console.print()
    for line in draw_timeline(timeline, width=console.width, glyphs=glyphs(console)):
        console.print(line, soft_wrap=True)


def print_verdict(console: Console, orders: int, wrong: Sequence[str]) -> None:
    """Whether every order came out as its line says."""
    console.print()
    if not wrong:
        console.print(f"{glyphs(console).done} all {orders} orders ended as the file says they must", style="green")
        return
    for line in wrong[:_MISMATCHES_SHOWN]:
        console.print(f"{glyphs(console).failed} {line}", style="red", soft_wrap=True)
    console.print(f"{len(wrong)} things are not as the file says they must be", style="bold red")


def summary_json(tally: Tally, wall_ms: int, orders: int, wrong: Sequence[str]) -> dict[str, Any]:
    """The report for programs."""
    return {
        "orders": orders,
        "runs": [
            {"function_id": function, "status": status.value, "count": count}
            for (function, status), count in sorted(tally.runs.items())
        ],
        "steps": [
            {
                "function_id": function,
                "name": name,
                "ended": step.ended,
                "retries": step.retries,
                "failed": step.failed,
                "total_ms": step.total_ms,
                "longest_ms": step.longest_ms,
            }
            for (function, name), step in sorted(tally.steps.items())
        ],
        "retries": tally.retries,
        "call_requests": tally.calls,
        "wall_ms": wall_ms,
        "mismatches": list(wrong),
    }


_ENDS = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first)
    for other in others:
        table.add_column(other, justify="right")
    return table
