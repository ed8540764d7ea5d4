"""The command line: one typer app, one file a command."""

from __future__ import annotations

import typer

from stepwell_orchestrator.cli import cancel, crons, dev, rerun, run, runs, send, sync, version
from stepwell_orchestrator.cli.bench import command as bench
from stepwell_orchestrator.cli.demo import command as demo
from stepwell_orchestrator.cli.doctor import command as doctor
from stepwell_orchestrator.cli.errors import reporting
from stepwell_orchestrator.cli.replay_check import command as replay_check
from stepwell_orchestrator.cli.standing import halts, why
from stepwell_orchestrator.cli.terminal import prepare_streams

app = typer.Typer(
    name="stepwell",
    help="Durable step functions: run them on your machine, send events, look at runs.",
    epilog="Start with `stepwell demo`, or `stepwell dev module:app` for your own functions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

app.command(epilog=dev.EPILOG)(reporting(dev.dev))
app.command(epilog=demo.EPILOG)(reporting(demo.demo))
app.command(epilog=send.EPILOG)(reporting(send.send))
app.command(epilog=runs.EPILOG)(reporting(runs.runs))
app.command(epilog=run.EPILOG)(reporting(run.run))
app.command(epilog=why.EPILOG)(reporting(why.why))
app.command(epilog=crons.EPILOG)(reporting(crons.crons))
app.command(epilog=cancel.EPILOG)(reporting(cancel.cancel))
app.command(epilog=rerun.EPILOG)(reporting(rerun.rerun))
app.command(epilog=halts.PAUSE_EPILOG)(reporting(halts.pause))
app.command(epilog=halts.DRAIN_EPILOG)(reporting(halts.drain))
app.command(epilog=halts.RESUME_EPILOG)(reporting(halts.resume))
app.command(epilog=replay_check.EPILOG)(reporting(replay_check.replay_check))
app.command(epilog=bench.EPILOG)(reporting(bench.bench))
app.command(epilog=sync.EPILOG)(reporting(sync.sync))
app.command(epilog=doctor.EPILOG)(reporting(doctor.doctor))
app.command(epilog=version.EPILOG)(reporting(version.version))


def main() -> None:
    """Run the command line and exit."""
    prepare_streams()
    app()
