"""Apps of the official Python package on Django and on Flask, under gunicorn."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from tests.interop import tour
from tests.interop.official import PATH
from tests.interop.server import KEYED, dev_server


@asynccontextmanager
async def gunicorn(app: str, listener: socket.socket, **environment: str) -> AsyncIterator[None]:
    """An app of ``wsgi.py`` in one process with threads, on a socket that is open already."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--threads", "4"),
        *("--no-control-socket", "--log-level", "critical", f"tests.interop.wsgi:{app}()"),
        env={**os.environ, **environment},
        pass_fds=(listener.fileno(),),
        stdout=DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("keyed", [False, True], ids=["keyless", "keyed"])
@pytest.mark.parametrize("app", ["on_django", "on_flask"])
async def test_apps_run_under_gunicorn(app: str, keyed: bool) -> None:
    """Every kind of step works as users deploy it, signed and unsigned."""
    with listen("127.0.0.1", 0) as listener, listen("127.0.0.1", 0) as app_listener:
        origin, target = own_origin(listener), f"{own_origin(app_listener)}{PATH}"
        environment = {"SERVER_ORIGIN": origin, "KEYED": "yes" if keyed else ""}
        async with (
            gunicorn(app, app_listener, **environment),
            dev_server(listener, (target,), KEYED if keyed else None) as server,
        ):
            await tour.take(server)
