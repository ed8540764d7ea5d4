"""The command line under test, and the server it talks to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from stepwell_orchestrator.cli.main import app
from tests.orchestrator.cli.fake_server import FakeServer, fake_server

Stepwell = Callable[..., Result]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test."""
    for name in ("BASE_URL", "API_BASE_URL", "EVENT_API_BASE_URL", "DEV", "EVENT_KEY", "SIGNING_KEY"):
        monkeypatch.delenv(f"STEPWELL_{name}", raising=False)
        monkeypatch.delenv(f"INNGEST_{name}", raising=False)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server with answers of the test's own."""
    with fake_server() as fake:
        yield fake


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port nobody listens at. It is held so that nobody else gets it, and a server may still bind it."""
    with socket.socket() as holding:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holding.bind(("127.0.0.1", 0))
        yield holding.getsockname()[1]


@pytest.fixture
def stepwell(monkeypatch: pytest.MonkeyPatch) -> Stepwell:
    """Runs one command line: ``stepwell("runs", "--json")``, with ``stdin`` as its input."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*args: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, args, input=stdin)

    return run
