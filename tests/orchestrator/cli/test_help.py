from __future__ import annotations

import subprocess
import sys

import pytest

from stepwell.version import VERSION
from tests.orchestrator.cli.conftest import Stepwell

COMMANDS = (
    "dev",
    "demo",
    "send",
    "runs",
    "run",
    "why",
    "crons",
    "cancel",
    "rerun",
    "pause",
    "drain",
    "resume",
    "replay-check",
    "bench",
    "sync",
    "doctor",
    "version",
)


def test_help_lists_every_command(stepwell: Stepwell):
    """The first thing one types shows all there is."""
    result = stepwell("--help")
    assert result.exit_code == 0
    listed = result.stdout.partition("Commands:\n")[2].partition("\n\n")[0]
    assert {line.split()[0] for line in listed.splitlines()} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(stepwell: Stepwell, command: str):
    """Help names the exit codes and gives an example that starts with the command."""
    result = stepwell(command, "--help")
    assert result.exit_code == 0
    assert f"stepwell {command}" in result.stdout.partition("Example")[2]
    assert "Exit codes: 0" in result.stdout or command == "version"


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["run"], "Missing argument 'ID'"),
        (["send"], "Missing argument 'NAME'"),
        (["runs", "--limit", "0"], "Invalid value for '--limit'"),
        (["runs", "--limit", "many"], "Invalid value for '--limit'"),
        (["runs", "--status", "lost"], "Invalid value for '--status'"),
        (["dev", "--port", "70000"], "Invalid value for '--port'"),
        (["dev", "--retry-delay", "soon"], '--retry-delay: "soon" is not a duration; write it like "30s"'),
        (["dev", "--retry-delay=-2s"], "--retry-delay: -2s is negative; write it like 2s"),
        (["sync", "shop.functions:app"], "`stepwell dev shop.functions:app` loads a module"),
        (["runs", "--url", "localhost"], '--url is "localhost", which is not a URL; write it like "https://host"'),
    ],
)
def test_wrong_usage_exits_with_2(stepwell: Stepwell, args: list[str], complaint: str):
    """A command that is typed wrongly says what is wrong, without a traceback, and exits with 2."""
    result = stepwell(*args)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


def test_version(stepwell: Stepwell):
    """The version is that of the package, as text and as JSON."""
    assert stepwell("version").stdout.startswith(f"stepwell {VERSION} (Python 3.")
    assert f'"stepwell":"{VERSION}"' in stepwell("version", "--json").stdout


def test_the_installed_command():
    """The console script runs in a terminal that knows nothing but ASCII."""
    script = "import sys; sys.argv = ['stepwell', 'run', 'ü']; from stepwell.cli import main; main()"
    environment = {"PYTHONIOENCODING": "ascii", "STEPWELL_BASE_URL": "http://127.0.0.1:1"}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith(
        "stepwell: nothing answers at http://127.0.0.1:1; start a server with `stepwell dev`"
    )
