"""``stepwell dev``."""

from __future__ import annotations

from typing import Annotated

import typer

from stepwell_orchestrator.cli.options import option_ms

EPILOG = """Examples:

  stepwell dev examples.hello.app:app

  stepwell dev http://127.0.0.1:3000/api/inngest

  stepwell dev shop.functions:app --db :memory: --retry-delay 2s"""


def dev(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="TARGET", help="module:app, served and reloaded here, or the URL of a served app."),
    ] = None,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")] = 8288,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    database: Annotated[
        str, typer.Option("--db", metavar="PATH", help="The journal's SQLite file; :memory: keeps nothing.")
    ] = ".stepwell/dev.db",
    reload: Annotated[bool, typer.Option(help="Restart when a Python file changes; runs go on.")] = True,
    retry_delay: Annotated[
        str | None, typer.Option(metavar="DURATION", help="A fixed delay such as 2s instead of the back-off table.")
    ] = None,
) -> None:
    """Serve functions on this machine: the engine, its HTTP API and a live log.

    Exit codes: 0 stopped by Ctrl-C, 1 it could not start, 2 wrong arguments.
    """
    from stepwell_orchestrator.entry.dev import run
    from stepwell_orchestrator.entry.dev_server import DevOptions

    options = DevOptions(
        targets=tuple(targets or ()),
        host=host,
        port=port,
        database=database,
        reload=reload,
        retry_delay_ms=option_ms("--retry-delay", retry_delay, "2s"),
    )
    raise typer.Exit(run(options))
