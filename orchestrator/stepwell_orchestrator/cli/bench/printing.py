"""The report, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console

from stepwell_orchestrator.cli.bench.costs import Cost, Count, Report
from stepwell_orchestrator.cli.terminal import print_columns
from stepwell_orchestrator.costing.bill import Rates, Work


def json_of(report: Report, rates: Rates) -> dict[str, Any]:
    """For programs; amounts are dollars, of a million of what ``of`` says."""
    return {
        "costs": [_cost(cost) for cost in report.costs],
        "counts": [
            {
                "key": count.key,
                "name": count.name,
                "value": round(count.value, 4),
                "budget": count.budget,
                "met": count.met,
                "why": count.why,
            }
            for count in report.counts
        ],
        "stored": {"bytes_per_run": round(report.stored_bytes), "dollars_per_million_steps": report.stored_dollars},
        "idle_dollars_per_month": {"total": sum(report.idle.values()), **report.idle},
        "assumed": asdict(rates.assumed),
        "prices": {good.value: asdict(price) for good, price in rates.prices.items()},
    }


def print_report(console: Console, report: Report, rates: Rates) -> None:
    """For people."""
    heads = ("workload", "per", "requests", "written", "read", "queue", "calls", "$ per million", "budget")
    print_columns(console, [heads, *map(_row, report.costs)])
    _head(console, "Where the money goes, $ per million")
    for cost in report.costs:
        lines = ", ".join(f"{line} {amount:.2f}" for line, amount in cost.lines.items() if round(amount, 2))
        console.print(f"{cost.name}: {lines}", soft_wrap=True)
    _head(console, "Counts")
    print_columns(
        console,
        [("what", "count", "bound", ""), *((one.name, _number(one.value), *_bound(one)) for one in report.counts)],
    )
    console.print(
        f"A run of 10 steps leaves {report.stored_bytes:,.0f} bytes in the table, "
        f"${report.stored_dollars:.2f} per million steps until they are forgotten, backups included.",
        soft_wrap=True,
    )
    _head(console, "A stack in which nothing happens, $ a month")
    rows = [(name, f"{amount:.2f}") for name, amount in report.idle.items()]
    print_columns(console, [("", "$"), *rows, ("together", f"{sum(report.idle.values()):.2f}")])
    _head(console, "Assumed, because it cannot be counted here")
    console.print(", ".join(f"{name}={value}" for name, value in asdict(rates.assumed).items()), soft_wrap=True)


def _head(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold", soft_wrap=True)


def _row(cost: Cost) -> tuple[str, ...]:
    counts = _counts(cost.work)
    numbers = (counts[name] for name in ("requests", "write_units", "read_units", "queue_requests", "app_calls"))
    return cost.name, cost.of, *map(_number, numbers), f"{cost.dollars:.2f}", _verdict(cost)


def _verdict(cost: Cost) -> str:
    if cost.budget is None:
        return ""
    return f"{cost.budget:.2f} met" if cost.over is None else f"{cost.budget:.2f} missed by {cost.over:.2f}"


def _bound(count: Count) -> tuple[str, str]:
    return _number(count.budget), f"met: {count.why}" if count.met else f"missed: {count.why}"


def _number(value: float) -> str:
    return f"{round(value, 2):g}"


def _counts(work: Work) -> dict[str, float]:
    table = work.total("dynamodb")
    return {
        "requests": work.total().requests,
        "write_units": table.write_units,
        "read_units": table.read_units,
        "queue_requests": work.total("sqs").chunks,
        "messages": work.messages,
        "app_calls": work.app_calls,
        "log_bytes": work.log_bytes,
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "key": cost.key,
        "name": cost.name,
        "of": cost.of,
        "counts": {name: round(value, 4) for name, value in _counts(cost.work).items()},
        "dollars": round(cost.dollars, 4),
        "lines": {line.value: round(amount, 4) for line, amount in cost.lines.items()},
        "budget": cost.budget,
        "over": cost.over,
    }
