"""A server that answers what a test tells it to, over real HTTP, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

AT = "2030-03-17T17:46:42.000Z"


@dataclass
class Asked:
    """One request it got."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakeServer:
    """Answers by ``METHOD path`` (without the query): a status and JSON, text, or nothing; else 404."""

    origin: str
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def says(self, question: str, data: Any) -> None:
        """Answer with the success envelope."""
        self.answers[question] = (200, {"data": data, "metadata": {"fetched_at": AT, "cached_until": None}})

    def refuses(self, question: str, status: int, error: str) -> None:
        """Answer with the error shape."""
        self.answers[question] = (status, {"error": error, "data": None, "status": status})

    @property
    def questions(self) -> list[str]:
        """What it was asked, in order, with the query."""
        return [f"{asked.method} {asked.path}" for asked in self.asked]


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    """A fake server on a free port of this machine."""
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    fake = FakeServer(f"http://127.0.0.1:{listener.server_port}")
    _Handler.fakes[listener.server_port] = fake
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


class _Handler(BaseHTTPRequestHandler):
    fakes: dict[int, FakeServer] = {}  # noqa: RUF012 - one table for all servers of the process

    def _answer(self) -> None:
        fake = self.fakes[self.server.server_address[1]]  # type: ignore[index]  # a TCP address
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        fake.asked.append(Asked(self.command, self.path, headers, json.loads(raw) if raw else None))
        question = f"{self.command} {self.path.partition('?')[0]}"
        status, body = fake.answers.get(question, (404, {"error": f"not asked for: {question}"}))
        content = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.send_header("x-inngest-server-kind", "dev")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the names http.server calls

    def log_message(self, *_: Any) -> None:
        """Quiet."""
