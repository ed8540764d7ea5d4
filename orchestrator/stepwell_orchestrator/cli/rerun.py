"""``stepwell rerun``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from stepwell.errors import WireError
from stepwell.wire.encoding import decode
from stepwell_orchestrator.cli.client import connected
from stepwell_orchestrator.cli.errors import usage_error
from stepwell_orchestrator.cli.options import AsJson, RunId, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output

EPILOG = """Examples:

  stepwell rerun 01KAB3C4D5E6F7G8H9JKMNPQRS

  stepwell rerun 9JKMNPQRS --from-step charge --input '[250, "EUR"]'"""

FromStep = Annotated[
    str | None, typer.Option("--from-step", metavar="STEP", help="Keep what finished before this step, and begin here.")
]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="JSON", help="A list: what that step's function is called with instead."),
]


def rerun(
    run_id: RunId, from_step: FromStep = None, step_input: Input = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Run a run's function again on the same events, from its first step or a later one.

    Exit codes: 0 the new run exists, 1 no such run, step, function or server, 2 an ambiguous id or a bad input.
    """
    start = _start(from_step, step_input)
    original, started = asyncio.run(_again(read_server(url), run_id, start))
    if as_json:
        print_json({"run_id": started, "original_run_id": original})
        return
    console = standard_output()
    where = "" if from_step is None else f" from {from_step}"
    console.print(f"{glyphs(console).done} run {started} runs {original} again{where}", soft_wrap=True)


def _start(step: str | None, text: str | None) -> Mapping[str, Any] | None:
    if text is None:
        return None if step is None else {"stepId": step}
    if step is None:
        raise usage_error("--input needs --from-step: it is what that step's function is called with")
    try:
        arguments = decode(text.encode())
    except WireError as error:
        raise usage_error(f"--input: {error}") from None
    if not isinstance(arguments, list):
        raise usage_error("--input must be a JSON list, one member for each argument, like '[250, \"EUR\"]'")
    return {"stepId": step, "input": arguments}


async def _again(server: Server, text: str, start: Mapping[str, Any] | None) -> tuple[str, str]:
    """The original's id and the new run's."""
    async with connected(server) as client:
        run_id = await client.resolve(text)
        return run_id, await client.rerun(run_id, start)
