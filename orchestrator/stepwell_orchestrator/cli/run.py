"""``stepwell run``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stepwell.wire.encoding import encode
from stepwell_orchestrator.cli.client import Answer, connected
from stepwell_orchestrator.cli.errors import usage_error
from stepwell_orchestrator.cli.options import AsJson, RunId, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output
from stepwell_orchestrator.terminal.display import one_line
from stepwell_orchestrator.terminal.drawing import draw_timeline
from stepwell_orchestrator.terminal.timeline import read_timeline

EPILOG = """Examples:

  stepwell run 01KAB3C4D5E6F7G8H9JKMNPQRS

  stepwell run 9JKMNPQRS

  stepwell run 9JKMNPQRS --json | jq '.steps[] | select(.attempts > 1)'

  stepwell run 9JKMNPQRS --export journals/"""

_STANDARD_OUTPUT = Path("-")


def run(
    run_id: RunId,
    *,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write its journal, with all payloads, to this file; to ID.json in this folder; - prints it.",
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one run: its status, and a timeline of its steps. Or export its journal, for `stepwell replay-check`.

    Exit codes: 0 shown or written, however the run ended, 1 no such run or no server, 2 an ambiguous id, wrong
    arguments or a file that cannot be written.
    """
    if export is not None:
        _export(asyncio.run(_fetch_journal(read_server(url), run_id)), export, as_json=as_json)
        return
    found, trace = asyncio.run(_look_up(read_server(url), run_id))
    if as_json:
        print_json({**found.data, "steps": trace.data})
        return
    show(standard_output(), found, trace)


def show(console: Console, found: Answer, trace: Answer) -> None:
    """Draw a run as a timeline."""
    timeline = read_timeline(found.data, trace.data, now_ms=trace.at_ms)
    for line in draw_timeline(timeline, width=console.width, glyphs=glyphs(console)):
        console.print(line, soft_wrap=True)
    for warning in found.data.get("warnings") or ():
        console.print(f"{glyphs(console).warned} {one_line(warning)}", soft_wrap=True, markup=False, highlight=False)
    for held in (found.data.get("halt"), found.data.get("waiting_for")):
        if held:
            text = f"{glyphs(console).open} {one_line(held['text'])}"
            console.print(text, soft_wrap=True, markup=False, highlight=False)
    if trouble := found.data.get("trouble"):
        console.print(f"{glyphs(console).failed} {one_line(trouble)}", soft_wrap=True, markup=False, highlight=False)


async def _look_up(server: Server, text: str) -> tuple[Answer, Answer]:
    async with connected(server) as client:
        run_id = await client.resolve(text)
        return await client.run(run_id), await client.trace(run_id)


async def _fetch_journal(server: Server, text: str) -> dict[str, Any]:
    async with connected(server) as client:
        return await client.journal(await client.resolve(text))


def _export(journal: dict[str, Any], target: Path, *, as_json: bool) -> None:
    if target == _STANDARD_OUTPUT:
        print_json(journal)
        return
    path = target / f"{journal['run_id']}.json" if target.is_dir() else target
    try:
        path.write_bytes(encode(journal) + b"\n")
    except OSError as error:
        raise usage_error(f"cannot write {path}: {error.strerror}; name a file in a folder that exists") from None
    if as_json:
        print_json({"run_id": journal["run_id"], "file": str(path)})
        return
    console = standard_output()
    count = len(journal["steps"])
    steps = "1 step" if count == 1 else f"{count} steps"
    console.print(f"{glyphs(console).done} journal of {journal['run_id']}, {steps}, is in {path}", soft_wrap=True)
