"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from stepwell.errors import WireError
from stepwell.wire.times import parse_duration_ms
from stepwell_orchestrator.cli.errors import usage_error

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="The server. Default: STEPWELL_BASE_URL, else http://127.0.0.1:8288.",
        show_default=False,
        metavar="URL",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
RunId = Annotated[str, typer.Argument(metavar="ID", help="A run id, or enough of its beginning or end.")]


def option_ms(option: str, text: str | None, example: str) -> int | None:
    """The milliseconds of a duration option, None when it is left out. Raises CommandError naming the option."""
    if text is None:
        return None
    try:
        duration_ms = parse_duration_ms(text)
    except WireError as error:
        raise usage_error(f"{option}: {error}") from None
    if duration_ms < 0:
        raise usage_error(f"{option}: {text} is negative; write it like {example}")
    return duration_ms
