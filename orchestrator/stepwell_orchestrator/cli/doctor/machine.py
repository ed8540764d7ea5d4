"""Checks of this machine: Python, packages, SQLite, the database file, the settings."""

from __future__ import annotations

import importlib.util
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from stepwell.client.settings import Overrides, read_settings
from stepwell.errors import DefinitionError
from stepwell_orchestrator.cli.doctor.finding import Finding, fail, ok, warn
from stepwell_orchestrator.local.schema import APPLICATION_ID, SCHEMA_VERSION

PYTHON_MIN: Final = (3, 11)
SQLITE_MIN: Final = (3, 35, 0)
_MODULES: Final = {
    "aiohttp": "stepwell",
    "pydantic": "stepwell",
    "rfc8785": "stepwell",
    "ulid": "stepwell",
    "celpy": "stepwell[orchestrator]",
    "fastapi": "stepwell[orchestrator]",
    "uvicorn": "stepwell[orchestrator]",
    "watchfiles": "stepwell[orchestrator]",
}


def check_python(version: tuple[int, int, int] = sys.version_info[:3]) -> Finding:
    """The interpreter is new enough."""
    detail = f"{platform.python_implementation()} {'.'.join(map(str, version))}"
    if version < PYTHON_MIN:
        return fail("python", detail, f"install Python {'.'.join(map(str, PYTHON_MIN))} or newer")
    return ok("python", detail)


def check_packages(modules: Mapping[str, str] = _MODULES) -> Finding:
    """Everything the server needs can be imported; ``modules`` maps each module to what installs it."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if not missing:
        return ok("packages", f"{len(modules)} found")
    wanted = max((modules[module] for module in missing), key=len)
    return fail("packages", f"{', '.join(missing)} cannot be imported", f'pip install "{wanted}"')


def check_sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> Finding:
    """SQLite is new enough, and has a write-ahead log in the folder for temporary files."""
    text = ".".join(map(str, version))
    if version < SQLITE_MIN:
        return fail("sqlite", text, f"use a Python built with SQLite {'.'.join(map(str, SQLITE_MIN))} or newer")
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder, "probe.db"))) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        return warn("sqlite", f"{text}, but without a write-ahead log here", "put the database on a local disk")
    return ok("sqlite", f"{text}, write-ahead log works")


def check_database(path: Path) -> Finding:
    """The dev server's database can be read, if there is one."""
    if not path.exists():
        return ok("database", f"none yet at {path}; `stepwell dev` creates it")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            (runs,) = connection.execute("SELECT count(*) FROM runs").fetchone() if schema else (0,)
    except sqlite3.Error as error:
        return fail("database", f"{path}: {error}", "move the file away, or pass another one with --db")
    if application_id != APPLICATION_ID:
        return fail("database", f"{path} is another program's", "pass another file with --db")
    if schema > SCHEMA_VERSION:
        return fail("database", f"{path} has schema {schema}, newer than {SCHEMA_VERSION}", "upgrade stepwell")
    return ok("database", f"{path}, {runs} runs")


def check_settings(environ: Mapping[str, str] | None = None) -> Finding:
    """The environment's settings and keys can be understood."""
    try:
        settings = read_settings(Overrides(), environ)
    except DefinitionError as error:
        return fail("settings", str(error), "correct the variable, or unset it")
    keys = [
        word
        for word, key in (("event key", not settings.dev and settings.event_key), ("signing key", settings.signing_key))
        if key
    ]
    return ok("settings", f"{settings.kind} mode, {' and '.join(keys) or 'no keys'}")
