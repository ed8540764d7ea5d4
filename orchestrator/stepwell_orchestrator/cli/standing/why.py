"""``stepwell why``."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from stepwell.wire.ids import is_ulid
from stepwell_orchestrator.cli.client import Client, connected
from stepwell_orchestrator.cli.errors import CommandError
from stepwell_orchestrator.cli.options import AsJson, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import print_json, standard_output
from stepwell_orchestrator.terminal.display import one_line

EPILOG = """Examples:

  stepwell why 01KAB3C4D5E6F7G8H9JKMNPQRS

  stepwell why 9JKMNPQRS --json | jq -r '.runs[].reasons[].text'"""

_RUNS_MAX: Final = 20


@dataclass(slots=True)
class _Found:
    """What was asked for: an event with its runs, or one run. ``more`` runs are not shown."""

    event: dict[str, Any] | None = None
    routed: bool | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)
    more: int = 0

    @property
    def waits(self) -> list[str]:
        """The debounces and batches that the event waits in, in words."""
        return [] if self.event is None else [wait["text"] for wait in self.event.get("waiting_for", ())]


def why(
    text: Annotated[str, typer.Argument(metavar="ID", help="A run id, or enough of one, or the id of an event.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Say why a run is not running: its limits, a pause, what its steps wait for. Of an event: of each of its runs.

    Exit codes: 0 told, also when nothing holds it back, 1 no such run or event, or no server, 2 an ambiguous id.
    """
    found = asyncio.run(_look_up(read_server(url), text))
    if as_json:
        print_json({"event": found.event, "routed": found.routed, "runs": found.runs, "more_runs": found.more})
        return
    _show(standard_output(), found)


async def _look_up(server: Server, text: str) -> _Found:
    async with connected(server) as client:
        run_id = await client.resolve(text)
        try:
            return _Found(runs=[(await client.why(run_id)).data])
        except CommandError as error:
            if not is_ulid(text) or error.status != 404:
                raise
        return await _look_up_event(client, text)


async def _look_up_event(client: Client, event_id: str) -> _Found:
    try:
        event = (await client.event(event_id)).data
    except CommandError as error:
        if error.status != 404:
            raise
        raise CommandError(f"there is no run and no event {event_id}; `stepwell runs` lists runs") from None
    started = await client.runs_of_event(event_id)
    runs = [(await client.why(run["run_id"])).data for run in started.runs[:_RUNS_MAX]]
    return _Found(event, started.routed, runs, max(0, len(started.runs) - _RUNS_MAX))


def _show(console: Console, found: _Found) -> None:
    if found.event is not None:
        _line(console, f"event {found.event['name']}: {_routing_text(found)}")
    for text in found.waits:
        _line(console, text, "  ")
    for run in found.runs:
        _line(console, f"run {run['run_id']} of {run['function_id']}: {run['status']}")
        for reason in run["reasons"]:
            _line(console, reason["text"], "  ")
    if found.more:
        _line(console, f"and {found.more} more runs")


def _routing_text(found: _Found) -> str:
    count = len(found.runs) + found.more
    if count:
        return f"it started {count} run{'' if count == 1 else 's'}"
    if found.routed is False:
        return "it started no run yet: it is still being offered to functions"
    if found.waits:
        return "it started no run yet"
    return "it started no run: no function has a trigger that it matches, or another event ran instead"


def _line(console: Console, text: str, indent: str = "") -> None:
    console.print(indent + one_line(text), soft_wrap=True, markup=False, highlight=False)
