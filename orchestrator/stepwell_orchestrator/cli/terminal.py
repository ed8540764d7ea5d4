"""Where commands print: a terminal, a pipe or a file, in the characters and colours it can take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from stepwell.wire.encoding import encode
from stepwell_orchestrator.terminal.display import Glyphs, glyphs_for


def prepare_streams() -> None:
    """Make what a terminal cannot show a question mark instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def standard_output() -> Console:
    """The console of standard output. No colours in a pipe or with ``NO_COLOR``."""
    return Console(highlight=False, emoji=False, markup=False)


def glyphs(console: Console) -> Glyphs:
    """The signs it can show."""
    return glyphs_for(console.encoding)


def print_json(value: Any) -> None:
    """One line of JSON on standard output, in UTF-8 whatever the terminal's encoding."""
    typer.echo(encode(value) + b"\n", nl=False)


def print_columns(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """Lines of left-aligned columns; the first row is their heads."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        console.print("  ".join(cells).rstrip(), style="dim" if number == 0 else None, soft_wrap=True)
