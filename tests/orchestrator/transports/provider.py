"""A stand-in for what steps fetch from: an HTTP server on loopback that answers what it is told, and remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Seen:
    """One request that came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str


Answer = web.Response | Callable[[web.Request], Any]


@dataclass
class Provider:
    """The answers to give, one a request, the last one again and again; and the requests that came."""

    origin: str = ""
    answers: Sequence[Answer] = ()
    seen: list[Seen] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path, dict(request.query), headers, body))
        answer = self.answers[min(len(self.seen), len(self.answers)) - 1] if self.answers else json_answer({"ok": True})
        if isinstance(answer, web.Response):
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        result: web.StreamResponse = await answer(request)
        return result


def json_answer(value: Any, status: int = 200, **headers: str) -> web.Response:
    """A JSON answer; underscores in the names of headers stand for dashes."""
    return web.json_response(value, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def redirect(location: str, status: int = 302) -> web.Response:
    """An answer that sends on."""
    return web.Response(status=status, headers={"location": location})


@asynccontextmanager
async def provider(*answers: Answer) -> AsyncIterator[Provider]:
    """A provider on a free port of 127.0.0.1."""
    stand_in = Provider(answers=answers)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", stand_in.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    stand_in.origin = f"http://{host}:{port}"
    try:
        yield stand_in
    finally:
        await runner.cleanup()
