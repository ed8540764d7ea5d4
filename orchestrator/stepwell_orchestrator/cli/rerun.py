"""``stepwell rerun``."""

from __future__ import annotations

import asyncio

from stepwell_orchestrator.cli.client import connected
from stepwell_orchestrator.cli.options import AsJson, RunId, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output

EPILOG = """Example:

  stepwell rerun 01KAB3C4D5E6F7G8H9JKMNPQRS"""


def rerun(run_id: RunId, url: Url = None, as_json: AsJson = False) -> None:
    """Run a run's function again on the same events, from its first step.

    Exit codes: 0 the new run exists, 1 no such run, function or server, 2 an ambiguous id.
    """
    original, started = asyncio.run(_again(read_server(url), run_id))
    if as_json:
        print_json({"run_id": started, "original_run_id": original})
        return
    console = standard_output()
    console.print(f"{glyphs(console).done} run {started} runs {original} again", soft_wrap=True)


async def _again(server: Server, text: str) -> tuple[str, str]:
    """The original's id and the new run's."""
    async with connected(server) as client:
        run_id = await client.resolve(text)
        return run_id, await client.rerun(run_id)
