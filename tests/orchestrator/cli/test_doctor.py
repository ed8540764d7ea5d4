from __future__ import annotations

import json
import socket
import sqlite3
from pathlib import Path

import pytest

from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.cli.doctor.finding import Finding, Level
from stepwell_orchestrator.cli.doctor.machine import (
    check_database,
    check_packages,
    check_python,
    check_settings,
    check_sqlite,
)
from stepwell_orchestrator.cli.doctor.server import check_clock
from stepwell_orchestrator.local.backend import LocalBackend
from tests.orchestrator.cli.conftest import Stepwell
from tests.orchestrator.cli.fake_server import FakeServer

SUBJECTS = ["python", "packages", "sqlite", "database", "settings", "server", "clock"]
SERVED_AT = "Sun, 17 Mar 2030 17:46:40 GMT"
SERVED_MS = 1_900_000_000_000


def facts(finding: Finding) -> tuple[Level, str]:
    return finding.level, finding.fix


def test_a_healthy_machine(stepwell: Stepwell, free_port: int, tmp_path: Path):
    """Where all is well every check says ok, and the exit code is 0."""
    result = stepwell("doctor", "--url", f"http://127.0.0.1:{free_port}", "--db", str(tmp_path / "dev.db"))
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [["ok", subject] for subject in SUBJECTS]
    assert f"none is running; port {free_port} is free for `stepwell dev`" in result.stdout


def test_a_running_server(stepwell: Stepwell, server: FakeServer, tmp_path: Path):
    """A server that answers is named with its kind, also for programs."""
    server.answers["GET /health"] = (200, {"status": 200})
    result = stepwell("doctor", "--url", server.origin, "--db", str(tmp_path / "dev.db"), "--json")
    findings = {finding["subject"]: finding for finding in json.loads(result.stdout)}
    assert list(findings) == SUBJECTS
    assert findings["server"] == {
        "level": "ok",
        "subject": "server",
        "detail": f"a dev server answers at {server.origin}",
        "fix": "",
    }


def test_a_port_taken_by_another_program(stepwell: Stepwell, tmp_path: Path):
    """A port that is taken by something that is no Stepwell server fails, with the fix below it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        result = stepwell("doctor", "--url", f"http://127.0.0.1:{port}", "--db", str(tmp_path / "dev.db"))
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("fail")] == [["fail", "server"]]
    assert f"port {port} cannot be used: Address already in use" in result.stdout
    assert "                → pass another --port" in lines


def test_malformed_keys_are_found(stepwell: Stepwell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A signing key that cannot be one fails, and what depends on it is not asked."""
    monkeypatch.setenv("STEPWELL_SIGNING_KEY", "signkey-test-nothex")
    result = stepwell("doctor", "--db", str(tmp_path / "dev.db"), "--json")
    findings = {finding["subject"]: finding for finding in json.loads(result.stdout)}
    assert (result.exit_code, findings["settings"]["level"], "server" in findings) == (1, "fail", False)
    assert "STEPWELL_SIGNING_KEY" in findings["settings"]["detail"]


@pytest.mark.parametrize(("version", "level"), [((3, 10, 14), Level.FAIL), ((3, 11, 0), Level.OK)])
def test_check_python(version: tuple[int, int, int], level: Level):
    """Python 3.11 is the oldest that will do."""
    assert check_python(version).level is level


def test_check_packages():
    """A module that is missing is named together with what installs it."""
    finding = check_packages({"aiohttp": "stepwell", "no_such_module": "stepwell[orchestrator]"})
    assert finding == Finding(
        Level.FAIL, "packages", "no_such_module cannot be imported", 'pip install "stepwell[orchestrator]"'
    )


@pytest.mark.parametrize(("version", "level"), [((3, 34, 9), Level.FAIL), (sqlite3.sqlite_version_info, Level.OK)])
def test_check_sqlite(version: tuple[int, ...], level: Level):
    """An SQLite without what the journal needs is refused."""
    assert check_sqlite(version).level is level


async def test_a_database_of_ours(tmp_path: Path):
    """A journal is opened for reading alone, so that a server may have it open."""
    path = tmp_path / "dev.db"
    backend = LocalBackend.open(path)
    try:
        assert check_database(path) == Finding(Level.OK, "database", f"{path}, 0 runs")
    finally:
        backend.close()


def test_databases_that_cannot_be_used(tmp_path: Path):
    """A file that is no database, another program's, or a newer version's is told apart."""
    text, foreign, newer = (tmp_path / name for name in ("text.db", "foreign.db", "newer.db"))
    text.write_text("not a database, but long enough to have a header" * 10)
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE things (name TEXT)")
    connection.close()
    LocalBackend.open(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version=999")
    connection.close()
    assert [facts(check_database(path)) for path in (text, foreign, newer)] == [
        (Level.FAIL, "move the file away, or pass another one with --db"),
        (Level.FAIL, "pass another file with --db"),
        (Level.FAIL, "upgrade stepwell"),
    ]


@pytest.mark.parametrize(
    ("environ", "level", "detail"),
    [
        ({}, Level.OK, "cloud mode, no keys"),
        ({"STEPWELL_DEV": "1"}, Level.OK, "dev mode, no keys"),
        (
            {"STEPWELL_EVENT_KEY": "e", "STEPWELL_SIGNING_KEY": "signkey-prod-" + "ab" * 32},
            Level.OK,
            "cloud mode, event key and signing key",
        ),
        (
            {"STEPWELL_DEV": "maybe"},
            Level.FAIL,
            'STEPWELL_DEV is "maybe", which is neither true nor false',
        ),
    ],
)
def test_check_settings(environ: dict[str, str], level: Level, detail: str):
    """The settings are summed up without a key being shown."""
    finding = check_settings(environ)
    assert (finding.level, finding.detail.partition(";")[0]) == (level, detail)


@pytest.mark.parametrize(
    ("apart_s", "level"),
    [(0, Level.OK), (30, Level.OK), (-31, Level.WARN), (300, Level.WARN), (301, Level.FAIL), (-301, Level.FAIL)],
)
def test_check_clock(apart_s: int, level: Level):
    """Clocks may be apart by as much as a signature may be old, with a warning from a tenth of it."""
    assert check_clock(SERVED_MS + apart_s * SECOND_MS, SERVED_AT).level is level


def test_a_clock_that_is_not_set():
    """A clock at the epoch is noticed without a server."""
    assert check_clock(0, None).level is Level.FAIL
    assert check_clock(SERVED_MS, None).level is Level.OK
