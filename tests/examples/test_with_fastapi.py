from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEPWELL = ("-c", "from stepwell.cli import main; main()")


@contextmanager
def process(*args: str, fds: Sequence[int] = (), **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process of the repository that has the file descriptors, ended with the block."""
    started = subprocess.Popen(
        [sys.executable, *args],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=fds,
    )
    try:
        yield started
    finally:
        started.terminate()
        started.communicate()


def line_with(text: str, lines: Iterator[str]) -> str:
    """The next line that holds ``text``."""
    return next(line for line in lines if text in line)


def test_a_fastapi_app_under_the_dev_server():
    """The FastAPI example is found by the dev server, takes a request, and its function runs to the end over HTTP."""
    own = socket.socket()
    own.bind(("127.0.0.1", 0))
    app = f"http://127.0.0.1:{own.getsockname()[1]}"
    arguments = ("dev", f"{app}/api/inngest", "--port", "0", "--db", ":memory:")
    with own, process(*STEPWELL, *arguments, PYTHONUNBUFFERED="1") as dev:
        assert dev.stdout is not None
        log = iter(dev.stdout)
        origin = line_with("listening at ", log).split()[2].rstrip(",")
        uvicorn = ("-m", "uvicorn", "examples.with_fastapi.app:api", "--fd", str(own.fileno()))
        with process(*uvicorn, fds=[own.fileno()], STEPWELL_BASE_URL=origin):
            line_with("app signups synced", log)
            request = urllib.request.Request(
                f"{app}/signups", b'{"email": "ada@example.com"}', {"content-type": "application/json"}
            )
            with urllib.request.urlopen(request) as response:
                event_id = json.load(response)["event_id"]
            assert "let-them-look-around  sleep, until" in line_with("○", log)
            line_with("COMPLETED", log)
            with urllib.request.urlopen(f"{origin}/v1/events/{event_id}/runs") as response:
                (run,) = json.load(response)["data"]
    assert run["output"] == "'Three things to try first' sent to ada@example.com"
