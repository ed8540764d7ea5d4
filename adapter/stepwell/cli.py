"""The ``stepwell`` command. It lives in the orchestrator, which a function author need not have installed."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what to install and exit with 2."""
    try:
        from stepwell_orchestrator.cli.main import main as run
    except ModuleNotFoundError as error:
        hint = 'pip install "stepwell[orchestrator]"'
        sys.stderr.write(f"stepwell: the command line needs {error.name}, which is not installed; run: {hint}\n")
        raise SystemExit(2) from None
    run()
