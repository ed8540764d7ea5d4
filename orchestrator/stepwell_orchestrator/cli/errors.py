"""How a command ends when it cannot do what was asked: one line on standard error and an exit code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, ParamSpec

import typer

from stepwell.errors import StepwellError

EXIT_NEGATIVE: Final = 1
"""It was understood and failed, or the answer is no."""
EXIT_INTERRUPTED: Final = 130
"""It was stopped with Ctrl-C."""
EXIT_USAGE: Final = 2
"""It was asked for wrongly: an argument, an option, an input file."""

Arguments = ParamSpec("Arguments")


class CommandError(StepwellError):
    """Ends the command with a one-line message that names the fix. ``status`` is what a server answered with."""

    def __init__(self, message: str, *, exit_code: int = EXIT_NEGATIVE, status: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.status = status


def usage_error(message: str) -> CommandError:
    """The error for an argument that cannot be understood."""
    return CommandError(message, exit_code=EXIT_USAGE)


def reporting(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """The command with a one-line message on standard error in place of a traceback for what went wrong knowingly."""

    @functools.wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except StepwellError as error:
            typer.echo(f"stepwell: {error}", err=True)
            raise typer.Exit(error.exit_code if isinstance(error, CommandError) else EXIT_NEGATIVE) from None

    return run
