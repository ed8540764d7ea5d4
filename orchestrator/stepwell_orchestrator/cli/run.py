"""``stepwell run``."""

from __future__ import annotations

import asyncio

from rich.console import Console

from stepwell_orchestrator.cli.client import Answer, connected
from stepwell_orchestrator.cli.options import AsJson, RunId, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output
from stepwell_orchestrator.timeline import draw_timeline, read_timeline

EPILOG = """Examples:

  stepwell run 01KAB3C4D5E6F7G8H9JKMNPQRS

  stepwell run 9JKMNPQRS

  stepwell run 9JKMNPQRS --json | jq '.steps[] | select(.attempts > 1)'"""


def run(run_id: RunId, url: Url = None, as_json: AsJson = False) -> None:
    """Show one run: its status, and a timeline of its steps.

    Exit codes: 0 shown, however the run ended, 1 no such run or no server, 2 an ambiguous id or wrong arguments.
    """
    found, trace = asyncio.run(_looked_up(read_server(url), run_id))
    if as_json:
        print_json({**found.data, "steps": trace.data})
        return
    show(standard_output(), found, trace)


def show(console: Console, found: Answer, trace: Answer) -> None:
    """Draw a run as a timeline."""
    timeline = read_timeline(found.data, trace.data, now_ms=trace.at_ms)
    for line in draw_timeline(timeline, width=console.width, glyphs=glyphs(console)):
        console.print(line, soft_wrap=True)


async def _looked_up(server: Server, text: str) -> tuple[Answer, Answer]:
    async with connected(server) as client:
        run_id = await client.resolve(text)
        return await client.run(run_id), await client.trace(run_id)
