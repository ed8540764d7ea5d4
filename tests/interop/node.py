"""The official TypeScript package's apps, in one Node process, and why they cannot be tried where they cannot."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stepwell_orchestrator.entry.settings import ServerSettings
from tests.interop.server import Server, dev_server

FOLDER = Path(__file__).parent / "typescript"
APPS = ("default", "buffered", "off", "plain")


def why_not() -> str:
    """Why the TypeScript package cannot be tried here; empty when it can."""
    if shutil.which("node") is None:
        return "NOT TRIED: apps of the official TypeScript package, because there is no Node.js (20 or newer) here"
    wanted = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]["inngest"]
    installed = FOLDER / "node_modules" / "inngest" / "package.json"
    if not installed.exists() or json.loads(installed.read_text(encoding="utf-8"))["version"] != wanted:
        return f"NOT TRIED: apps of the official TypeScript package, because inngest {wanted} is missing: make node"
    return ""


@asynccontextmanager
async def node_apps(environment: dict[str, str]) -> AsyncIterator[str]:
    """The process with the apps; its origin. It ends when its standard input does."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INNGEST_")}
    process = await asyncio.create_subprocess_exec(
        "node", str(FOLDER / "app.mjs"), stdin=PIPE, stdout=PIPE, env={**inherited, **environment}
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith("listening on "), f"the Node process said: {line!r}"
        yield f"http://127.0.0.1:{int(line.rsplit(maxsplit=1)[1])}"
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def typescript(
    listener: socket.socket,
    environment: dict[str, str],
    *,
    settings: ServerSettings | None = None,
    apps: tuple[str, ...] = APPS,
) -> AsyncIterator[Server]:
    """The apps, registered with a dev server at ``listener``; ``environment`` tells them how to reach it."""
    async with node_apps(environment) as origin:
        targets = tuple(f"{origin}/api/{app}" for app in apps)
        async with dev_server(listener, targets, settings) as server:
            yield server
