"""``stepwell cancel``."""

from __future__ import annotations

import asyncio

from stepwell_orchestrator.cli.client import connected
from stepwell_orchestrator.cli.errors import EXIT_NEGATIVE, CommandError
from stepwell_orchestrator.cli.options import AsJson, RunId, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output

EPILOG = """Example:

  stepwell cancel 01KAB3C4D5E6F7G8H9JKMNPQRS"""


def cancel(run_id: RunId, url: Url = None, as_json: AsJson = False) -> None:
    """Cancel a run: no further step of it starts.

    Exit codes: 0 it is cancelled, 1 it had ended otherwise, no such run or no server, 2 an ambiguous id.
    """
    cancelled, status = asyncio.run(_cancel(read_server(url), run_id))
    if as_json:
        print_json({"run_id": cancelled, "status": status})
    if status != "Cancelled":
        raise CommandError(f"run {cancelled} was not cancelled: it is {status}", exit_code=EXIT_NEGATIVE)
    if not as_json:
        console = standard_output()
        console.print(f"{glyphs(console).done} run {cancelled} is cancelled", soft_wrap=True)


async def _cancel(server: Server, text: str) -> tuple[str, str]:
    """Cancel a run. Returns its id and the status it has now."""
    async with connected(server) as client:
        run_id = await client.resolve(text)
        await client.cancel(run_id)
        return run_id, str((await client.run(run_id)).data["status"])
