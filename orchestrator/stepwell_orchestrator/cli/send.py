"""``stepwell send``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stepwell.errors import WireError
from stepwell.wire.encoding import decode, encode
from stepwell.wire.times import parse_instant_ms
from stepwell_orchestrator.cli.client import connected
from stepwell_orchestrator.cli.errors import usage_error
from stepwell_orchestrator.cli.options import AsJson, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output

EPILOG = """Examples:

  stepwell send order/created '{"order_id": 7}'

  stepwell send order/created @order.json --id order-7

  jq .order dump.json | stepwell send order/created -"""


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
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send one event; it is durable when this returns.

    Exit codes: 0 accepted, 1 refused or no server, 2 wrong arguments.
    """
    event: dict[str, Any] = {"name": name, "data": _data(data)}
    if event_id is not None:
        event["id"] = event_id
    if ts is not None:
        event["ts"] = _instant_ms(ts)
    internal_id = asyncio.run(_sent(read_server(url), event))
    if as_json:
        print_json({"id": internal_id, "name": name})
        return
    console = standard_output()
    console.print(f"{glyphs(console).done} {name} accepted as {internal_id}", soft_wrap=True)


async def _sent(server: Server, event: dict[str, Any]) -> str:
    async with connected(server) as client:
        return await client.send_event(event)


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
