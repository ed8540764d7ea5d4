"""``stepwell version``."""

from __future__ import annotations

import platform

import typer

from stepwell.version import VERSION
from stepwell_orchestrator.cli.options import AsJson
from stepwell_orchestrator.cli.terminal import print_json

EPILOG = """Example:

  stepwell version --json"""


def version(as_json: AsJson = False) -> None:
    """Print the version."""
    python = platform.python_version()
    if as_json:
        print_json({"stepwell": VERSION, "python": python})
    else:
        typer.echo(f"stepwell {VERSION} (Python {python})")
