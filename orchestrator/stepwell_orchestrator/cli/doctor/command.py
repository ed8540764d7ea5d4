"""``stepwell doctor``."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from stepwell_orchestrator.cli.doctor.finding import Finding, Level
from stepwell_orchestrator.cli.doctor.machine import (
    check_database,
    check_packages,
    check_python,
    check_settings,
    check_sqlite,
)
from stepwell_orchestrator.cli.doctor.server import check_server
from stepwell_orchestrator.cli.errors import EXIT_NEGATIVE
from stepwell_orchestrator.cli.options import AsJson, Url
from stepwell_orchestrator.cli.settings import read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output
from stepwell_orchestrator.local.clock import SystemClock

EPILOG = """Example:

  stepwell doctor --json | jq '.[] | select(.level != "ok")'"""

_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


def doctor(
    url: Url = None,
    database: Annotated[Path, typer.Option("--db", metavar="PATH", help="The dev server's database.")] = Path(
        ".stepwell/dev.db"
    ),
    as_json: AsJson = False,
) -> None:
    """Check this machine, its settings and the server, and say how to fix what is wrong.

    Exit codes: 0 nothing fails (there may be warnings), 1 something fails, 2 wrong arguments.
    """
    settings = check_settings()
    findings = [check_python(), check_packages(), check_sqlite(), check_database(database), settings]
    if settings.level is Level.OK:
        findings += asyncio.run(check_server(read_server(url).api_origin, SystemClock()))
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(EXIT_NEGATIVE)


def _print(findings: list[Finding]) -> None:
    console = standard_output()
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        console.print(f"{finding.level:<4}", style=_STYLES[finding.level], end="  ")
        console.print(f"{finding.subject:<{width}}  {finding.detail}", soft_wrap=True)
        if finding.fix:
            console.print(f"{'':<{width + 8}}{glyphs(console).event} {finding.fix}", soft_wrap=True)
