"""``stepwell sync``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from stepwell_orchestrator.cli.client import connected
from stepwell_orchestrator.cli.errors import usage_error
from stepwell_orchestrator.cli.options import AsJson, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output

EPILOG = """Example:

  stepwell sync http://127.0.0.1:3000/api/inngest"""


def sync(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The URL at which an app serves its functions.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Ask a running app to register its functions with its server.

    Exit codes: 0 registered, 1 refused or no app there, 2 wrong arguments.
    """
    if not target.startswith(("http://", "https://")):
        raise usage_error(f'"{target}" is not a URL; `stepwell dev {target}` loads a module and registers it itself')
    body = asyncio.run(_synced(read_server(url), target))
    if as_json:
        print_json(body)
        return
    console = standard_output()
    outcome = "has not changed" if body.get("modified") is False else "is registered"
    console.print(f"{glyphs(console).done} the app at {target} {outcome}", soft_wrap=True)


async def _synced(server: Server, target: str) -> dict[str, Any]:
    async with connected(server) as client:
        return await client.sync(target)
