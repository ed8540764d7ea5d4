"""How far the demo is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stepwell_orchestrator.cli.demo.tally import Tally

_LINES: Final = 5

Show = Callable[[Tally], None]
"""Shows the counts of now."""


@contextmanager
def showing(console: Console | None, runs: int) -> Generator[Show]:
    """Shows the way to so many ended runs; with no console, nothing."""
    if console is None:
        yield lambda _tally: None
    elif console.is_terminal:
        columns = (BarColumn(32), MofNCompleteColumn(), TextColumn("runs  {task.fields[counts]}"))
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=runs, counts="")
            yield lambda tally: bar.update(task, completed=tally.ended, counts=_counts(tally))
    else:
        yield _lines(console, runs)


def _lines(console: Console, runs: int) -> Show:
    """A line each time another fifth of the way is done."""
    shown = 0

    def show(tally: Tally) -> None:
        nonlocal shown
        reached = tally.ended * _LINES // runs
        if reached > shown:
            shown = reached
            console.print(f"{tally.ended:>5} of {runs} runs ended  {_counts(tally)}")

    return show


def _counts(tally: Tally) -> str:
    return f"{tally.steps_ended} steps, {tally.retries} retries"
