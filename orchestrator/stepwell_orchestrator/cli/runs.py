"""``stepwell runs``."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import typer

from stepwell.wire.times import parse_instant_ms
from stepwell_orchestrator.cli.client import connected
from stepwell_orchestrator.cli.options import AsJson, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import print_columns, print_json, standard_output
from stepwell_orchestrator.terminal.display import duration_text

EPILOG = """Examples:

  stepwell runs --status failed

  stepwell runs --function shop-fulfil-order --limit 5

  stepwell runs --json | jq -r '.[].run_id'"""


class Status(StrEnum):
    """Run statuses as one types them."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def runs(
    *,
    status: Annotated[list[Status] | None, typer.Option(help="Only runs of this status; may be repeated.")] = None,
    function: Annotated[
        str | None, typer.Option(metavar="ID", help="Only runs of this function: <app id>-<function id>.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many at most.")] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    Exit codes: 0 listed, even if there are none, 1 no server, 2 wrong arguments.
    """
    query = {"limit": str(limit)}
    if status:
        query["status"] = ",".join(status)
    if function:
        query["function_id"] = function
    found = asyncio.run(_list(read_server(url), query))
    if as_json:
        print_json(found)
        return
    console = standard_output()
    if not found:
        console.print("no runs", style="dim")
        return
    print_columns(console, [("run", "status", "started (UTC)", "took", "function"), *map(_row, found)])


async def _list(server: Server, query: dict[str, str]) -> list[dict[str, Any]]:
    async with connected(server) as client:
        return await client.runs(query)


def _row(run: dict[str, Any]) -> tuple[str, str, str, str, str]:
    started, ended = run.get("run_started_at") or "", run.get("ended_at")
    took = duration_text(parse_instant_ms(ended) - parse_instant_ms(started)) if started and ended else ""
    return run["run_id"], run["status"], started[:19].replace("T", " "), took, run["function_id"]
