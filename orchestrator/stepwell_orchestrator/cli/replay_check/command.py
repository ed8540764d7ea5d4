"""``stepwell replay-check``."""

from __future__ import annotations

import asyncio
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from stepwell_orchestrator.cli.errors import EXIT_NEGATIVE, usage_error
from stepwell_orchestrator.cli.options import AsJson
from stepwell_orchestrator.cli.replay_check.printing import json_of, print_reports
from stepwell_orchestrator.cli.replay_check.recording import find_files, read_recording
from stepwell_orchestrator.cli.terminal import print_json, standard_output
from stepwell_orchestrator.entry.loading import LoadError, load_app

EPILOG = """Examples:

  stepwell run 9JKMNPQRS --export journals/

  stepwell replay-check shop.functions:app --journals journals/

  stepwell replay-check shop.functions:app --journals journals/ --json | jq '.journals[] | select(.result != "ok")'"""


def replay_check(
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="module:app, or module when it holds one app, as it is now.")
    ],
    *,
    journals: Annotated[
        list[Path],
        typer.Option(metavar="PATH", help="A recorded journal, or a folder of *.json files; may be repeated."),
    ],
    ignore_output: Annotated[
        bool, typer.Option("--ignore-output", help="A function may end otherwise than it did, as long as it returns.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Replay recorded journals with the code as it is now, and show the first step where each differs.

    No step runs and nothing is sent; the code between the steps runs.

    Exit codes: 0 all agree, 1 a journal and the code differ, 2 wrong arguments, an app that cannot be loaded or a file
    that is no journal.
    """
    from stepwell_orchestrator.cli.replay_check.checking import check_all

    recordings = [read_recording(path) for path in find_files(journals)]
    # What the app prints must not get into the report.
    with redirect_stdout(sys.stderr):
        try:
            app = load_app(target, Path.cwd())
        except LoadError as error:
            raise usage_error(str(error)) from None
        reports = asyncio.run(check_all(app, recordings, ignore_output=ignore_output))
    if as_json:
        print_json(json_of(reports))
    else:
        print_reports(standard_output(), reports)
    if any(report.difference for report in reports):
        raise typer.Exit(EXIT_NEGATIVE)
