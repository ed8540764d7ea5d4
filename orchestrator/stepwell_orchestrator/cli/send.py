"""``stepwell send``: an event, and on request the runs it starts, until they end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stepwell.errors import WireError
from stepwell.wire.encoding import decode, encode
from stepwell.wire.times import parse_instant_ms
from stepwell_orchestrator.cli.client import Answer, Client, connected
from stepwell_orchestrator.cli.errors import EXIT_INTERRUPTED, EXIT_NEGATIVE, CommandError, usage_error
from stepwell_orchestrator.cli.follow import Followed, Follower
from stepwell_orchestrator.cli.options import AsJson, Url, option_ms
from stepwell_orchestrator.cli.run import show
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output
from stepwell_orchestrator.local.clock import SystemClock

EPILOG = """Examples:

  stepwell send order/created '{"order_id": 7}'

  stepwell send order/created @order.json --id order-7

  jq .order dump.json | stepwell send order/created -

  stepwell send order/created @order.json --wait --timeout 1m"""


def send(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The event's name, such as order/created.")],
    data: Annotated[
        str | None, typer.Argument(metavar="JSON", help="Its data: a JSON object, @FILE, or - for standard input.")
    ] = None,
    *,
    event_id: Annotated[
        str | None, typer.Option("--id", help="An idempotency id: each function runs once for it in 24 hours.")
    ] = None,
    ts: Annotated[
        str | None, typer.Option(help="Its time: epoch milliseconds or ISO 8601. In the future: runs start then.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the runs it starts, and show the timeline of each when it ends.")
    ] = False,
    timeout: Annotated[
        str | None, typer.Option(help="Wait no longer than this, such as 30s; the runs go on. Default: to the end.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send one event; it is durable when this returns.

    Exit codes: 0 accepted, and with --wait all its runs completed, 1 refused, no server, or with --wait a run that did
    not complete in time or none at all, 2 wrong arguments, 130 stopped waiting with Ctrl-C.
    """
    if timeout is not None and not wait:
        raise usage_error("--timeout is how long to wait; add --wait")
    event: dict[str, Any] = {"name": name, "data": _data(data)}
    if event_id is not None:
        event["id"] = event_id
    if ts is not None:
        event["ts"] = _instant_ms(ts)
    timeout_ms = option_ms("--timeout", timeout, "30s")
    console = None if as_json else standard_output()
    try:
        internal_id, followed = asyncio.run(_send(read_server(url), event, console, wait=wait, timeout_ms=timeout_ms))
    except KeyboardInterrupt:
        message = "stopped waiting; what was sent goes on, `stepwell runs` shows how"
        raise CommandError(message, exit_code=EXIT_INTERRUPTED) from None
    if as_json:
        runs = {} if followed is None else {"runs": [*followed.runs.values()]}
        print_json({"id": internal_id, "name": name, **runs})
    if followed is not None:
        _judge(name, followed, timeout)


async def _send(
    server: Server, event: Mapping[str, Any], console: Console | None, *, wait: bool, timeout_ms: int | None
) -> tuple[str, Followed | None]:
    async with connected(server) as client:
        internal_id = await client.send_event(event)
        if console is not None:
            console.print(f"{glyphs(console).done} {event['name']} accepted as {internal_id}", soft_wrap=True)
        return internal_id, await _follow(client, internal_id, console, timeout_ms) if wait else None


async def _follow(client: Client, internal_id: str, console: Console | None, timeout_ms: int | None) -> Followed:
    clock = SystemClock()
    until_ms = None if timeout_ms is None else clock.now_ms() + timeout_ms
    return await Follower(client, clock, _Printer(console)).follow(internal_id, until_ms=until_ms)


@dataclass(frozen=True, slots=True)
class _Printer:
    """Shows runs on a console, if there is one."""

    console: Console | None

    def started(self, run: Mapping[str, Any]) -> None:
        if self.console is not None:
            line = f"{glyphs(self.console).started} {run['function_id']} runs as {run['run_id']}"
            self.console.print(line, soft_wrap=True)

    def ended(self, run: Answer, trace: Answer) -> None:
        if self.console is not None:
            self.console.print()
            show(self.console, run, trace)


def _judge(name: str, followed: Followed, timeout: str | None) -> None:
    """End with 0 only when there were runs, and all of them completed."""
    if not followed.over:
        open_runs = [run_id for run_id, run in followed.runs.items() if not run["ended_at"]]
        which = ", ".join(open_runs) or "none was started yet"
        raise CommandError(f"not over after {timeout} ({which}); it goes on, `stepwell run ID` shows how")
    if not followed.runs:
        why = "no function has a trigger for it, or its --id was used before"
        raise CommandError(f"{name} started no run: {why}")
    if any(run["status"] != "Completed" for run in followed.runs.values()):
        raise typer.Exit(EXIT_NEGATIVE)


def _data(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    source, content = _read(text)
    try:
        data = decode(content)
    except WireError as error:
        hint = "" if source != "the data" else """; in a shell put it in quotes: '{"id": 7}'"""
        raise usage_error(f"{source} is not JSON: {str(error).removeprefix('malformed JSON: ')}{hint}") from None
    if not isinstance(data, dict):
        raise usage_error(f'{source} must be a JSON object such as {{"id": 7}}, got {encode(data).decode()[:40]}')
    return data


def _read(text: str) -> tuple[str, str | bytes]:
    """Where the data comes from, and the data."""
    if text == "-":
        return "standard input", sys.stdin.read()
    if not text.startswith("@"):
        return "the data", text
    path = Path(text[1:])
    try:
        return str(path), path.read_bytes()
    except OSError as error:
        raise usage_error(f"cannot read {path}: {error.strerror}; @ is followed by the path of a JSON file") from None


def _instant_ms(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return parse_instant_ms(text)
    except WireError as error:
        raise usage_error(f"--ts: {error}") from None
