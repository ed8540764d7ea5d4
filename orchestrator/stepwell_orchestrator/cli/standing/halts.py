"""``stepwell pause``, ``stepwell drain`` and ``stepwell resume``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from urllib.parse import quote

import typer

from stepwell_orchestrator.cli.client import connected
from stepwell_orchestrator.cli.errors import usage_error
from stepwell_orchestrator.cli.options import AsJson, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output
from stepwell_orchestrator.terminal.display import one_line

PAUSE_EPILOG = """Examples:

  stepwell pause shop-fulfil-order --reason "the bank is down"

  stepwell pause --app shop"""

DRAIN_EPILOG = """Examples:

  stepwell drain shop-fulfil-order

  stepwell drain --app shop --json | jq .running"""

RESUME_EPILOG = """Examples:

  stepwell resume shop-fulfil-order

  stepwell resume --app shop"""

Function = Annotated[
    str | None, typer.Argument(metavar="[FUNCTION]", help="A function: <app id>-<function id>.", show_default=False)
]
App = Annotated[str | None, typer.Option("--app", metavar="ID", help="All functions of this app instead.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who asks, for those who ask why.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for those who ask why.")]


def pause(
    function: Function = None,
    *,
    app: App = None,
    by: By = None,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Start no run of a function, and make no call, until it is resumed. Events are kept: their runs wait.

    Exit codes: 0 it is paused, 1 no such function or app, or no server, 2 wrong arguments.
    """
    _ask("pause", _path(function, app), by, reason, url, as_json=as_json)


def drain(
    function: Function = None,
    *,
    app: App = None,
    by: By = None,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Start no run of a function until it is resumed; what has started goes on to its end. Again: how many are left.

    Exit codes: 0 it drains, 1 no such function or app, or no server, 2 wrong arguments.
    """
    _ask("drain", _path(function, app), by, reason, url, as_json=as_json)


def resume(function: Function = None, *, app: App = None, url: Url = None, as_json: AsJson = False) -> None:
    """Let a function go on that is paused or drains: what waits starts, as its limits let it.

    Exit codes: 0 it goes on, 1 no such function or app, or no server, 2 wrong arguments.
    """
    _ask("resume", _path(function, app), None, None, url, as_json=as_json)


def _path(function: str | None, app: str | None) -> str:
    """Where the API has it. Raises CommandError unless one of both is named."""
    if (function is None) == (app is None):
        raise usage_error("name a function, or an app with --app ID, and not both")
    return f"apps/{quote(app, safe='')}" if app is not None else f"functions/{quote(function or '', safe='')}"


def _ask(action: str, path: str, by: str | None, reason: str | None, url: str | None, *, as_json: bool) -> None:
    said = {name: text for name, text in (("by", by), ("reason", reason)) if text}
    stands = asyncio.run(_request(read_server(url), f"{path}/{action}", said))
    if as_json:
        print_json(stands)
        return
    console = standard_output()
    line = f"{glyphs(console).done} {one_line(stands['text'])}{_left(stands)}"
    console.print(line, soft_wrap=True, markup=False, highlight=False)


def _left(stands: dict[str, Any]) -> str:
    if "running" not in stands:
        return ""
    return f"; {stands['running']} still running, {stands['queued']} wait to start"


async def _request(server: Server, path: str, said: dict[str, str]) -> dict[str, Any]:
    async with connected(server) as client:
        return await client.halt(path, said)
