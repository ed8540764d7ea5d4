"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

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
