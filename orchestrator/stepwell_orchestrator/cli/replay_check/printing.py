"""The reports of a check, for people and for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from stepwell_orchestrator.cli.replay_check.report import Difference, Kind, Report
from stepwell_orchestrator.cli.terminal import glyphs


def print_reports(console: Console, reports: Sequence[Report]) -> None:
    """A line a journal, an explanation for each that differs, and a summary."""
    for report in reports:
        _print(console, report)
    differing = sum(1 for report in reports if report.difference)
    summary = f"{_journals(len(reports))} checked: {len(reports) - differing} ok"
    if differing:
        console.print(f"{summary}, {differing} not", style="bold red")
    else:
        console.print(summary, style="green")


def json_of(reports: Sequence[Report]) -> dict[str, Any]:
    """The same for programs; ``result`` is ``ok``, ``diverges`` or ``outcome_differs``."""
    bodies = [_body(report) for report in reports]
    results = [body["result"] for body in bodies]
    counts = {result: results.count(result) for result in ("ok", "diverges", "outcome_differs")}
    return {"journals": bodies, "summary": {"checked": len(reports), **counts}}


def _print(console: Console, report: Report) -> None:
    signs, name = glyphs(console), f"run {report.run_id} of {report.function_id}"
    difference = report.difference
    if difference is None:
        goes_on = f", goes on with {', '.join(map(str, report.goes_on))}" if report.goes_on else ""
        console.print(f"{signs.done} {name}: ok, {_steps(report.steps)}{goes_on}", style="green", soft_wrap=True)
        return
    console.print(f"{signs.failed} {name}: {_words(difference)}", style="red", soft_wrap=True)
    console.print(f"  {difference.message}", soft_wrap=True)
    console.print(f"  {difference.effect}", soft_wrap=True)
    console.print(f"  {signs.event} {difference.fix}", soft_wrap=True)
    console.print(f"  {report.file}", style="dim", soft_wrap=True)


def _words(difference: Difference) -> str:
    return "the outcome differs" if difference.kind is Kind.OUTCOME else "diverges"


def _result(report: Report) -> str:
    if report.difference is None:
        return "ok"
    return "outcome_differs" if report.difference.kind is Kind.OUTCOME else "diverges"


def _body(report: Report) -> dict[str, Any]:
    return {
        "file": str(report.file),
        "run_id": report.run_id,
        "function_id": report.function_id,
        "steps": report.steps,
        "result": _result(report),
        "difference": None if report.difference is None else dataclasses.asdict(report.difference),
        "goes_on": [dataclasses.asdict(step) for step in report.goes_on],
    }


def _journals(count: int) -> str:
    return "1 journal" if count == 1 else f"{count} journals"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"
