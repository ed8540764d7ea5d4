"""``stepwell crons``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from stepwell_orchestrator.cli.client import connected
from stepwell_orchestrator.cli.options import AsJson, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import print_columns, print_json, standard_output

EPILOG = """Examples:

  stepwell crons

  stepwell crons --function shop-report --next 10

  stepwell crons --json | jq -r '.[].next[0].at'"""


def crons(
    *,
    function: Annotated[
        str | None, typer.Option(metavar="ID", help="Only schedules of this function: <app id>-<function id>.")
    ] = None,
    count: Annotated[int, typer.Option("--next", min=1, max=100, help="How many ticks of each.")] = 3,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the schedules of functions, with their next ticks by the clocks of their time zones.

    Exit codes: 0 listed, even if there are none, 1 no server, 2 wrong arguments.
    """
    query = {"limit": str(count)} | ({"function_id": function} if function else {})
    found = asyncio.run(_list(read_server(url), query))
    if as_json:
        print_json(found)
        return
    console = standard_output()
    if not found:
        console.print("no schedules", style="dim")
        return
    print_columns(console, [("function", "cron", "next", "time zone"), *(row for each in found for row in _rows(each))])


async def _list(server: Server, query: dict[str, str]) -> list[dict[str, Any]]:
    async with connected(server) as client:
        return await client.crons(query)


def _rows(schedule: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """A line a tick; the first one says whose."""
    names = [(schedule["function_id"], schedule["cron"])] + [("", "")] * len(schedule["next"])
    return [
        (function_id, cron, tick["local"][:16].replace("T", " "), schedule["tz"])
        for (function_id, cron), tick in zip(names, schedule["next"], strict=False)
    ]
