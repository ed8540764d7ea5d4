from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvicorn

from stepwell.client import system
from stepwell.client.http import HttpResponse
from stepwell.wire import headers as names
from stepwell.wire.call import CallContext, CallRequest
from stepwell.wire.checkpoint import Checkpoint, decode_checkpoint
from stepwell.wire.encoding import canonical, decode, encode
from stepwell.wire.reply import Outcome, decode_reply
from stepwell.wire.signing import bearer_matches, sign
from tests.adapter.serving.support import FALLBACK, NOW_MS, RUN_ID

CHECKPOINTS = f"/v1/checkpoint/{RUN_ID}/async"


@asynccontextmanager
async def served(application: Any) -> AsyncIterator[str]:
    """``application`` on uvicorn at a free port; gives its origin.

    The socket listens before the server starts, so that nobody has to wait until it does.
    """
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", ws="none", timeout_graceful_shutdown=1))
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()


@dataclass
class Orchestrator:
    """A server's API over HTTP: takes registrations, events and checkpoints, has the state of one run.

    It knows the fallback key. ``clients`` are the ports it was asked for checkpoints from.
    """

    kind: str = "cloud"
    keys: tuple[str, ...] = (FALLBACK,)
    steps: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    registrations: list[Any] = field(default_factory=list)
    ingested: list[Any] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    clients: set[int] = field(default_factory=set)
    refusals: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        message = await receive()
        answer = self._answer(scope["path"], headers, message["body"])
        if scope["path"] == CHECKPOINTS:
            self.clients.add(scope["client"][1])
        pairs = [(names.SERVER_KIND.encode(), self.kind.encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": answer.body})

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> HttpResponse:
        if path.startswith("/e/"):
            self.ingested.append((path, decode(body)))
            return HttpResponse(200, {}, encode({"ids": ["id"], "status": 200}))
        if self.keys and not bearer_matches(headers.get("authorization"), self.keys):
            self.refusals += 1
            return HttpResponse(401, {}, b"Authentication failed")
        if path == CHECKPOINTS:
            self.checkpoints.append(decode_checkpoint(decode(body), RUN_ID))
            return HttpResponse(200, {}, b"")
        if path == "/fn/register":
            self.registrations.append(decode(body))
            return HttpResponse(200, {}, encode({"ok": True, "modified": True}))
        known = {f"/v0/runs/{RUN_ID}/actions": self.steps, f"/v0/runs/{RUN_ID}/batch": self.events}
        return HttpResponse(200, {}, encode(known[path]))


@dataclass
class Caller:
    """What a server does to an app: signed requests to its serve URL, over one connection pool."""

    session: aiohttp.ClientSession
    url: str
    key: str | None
    fn: str = ""

    async def request(
        self,
        method: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        headers: Any = None,
        signed: bool = True,
    ) -> HttpResponse:
        """One request and its whole response."""
        signature = {names.SIGNATURE: sign(body, self.key, system.now_ms() // 1000)} if self.key and signed else {}
        async with self.session.request(
            method, self.url, params=query or {}, data=body or None, headers={**signature, **(headers or {})}
        ) as answer:
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            return HttpResponse(answer.status, lowered, await answer.read())

    async def call(
        self, fn: str, *, step: str = "step", steps: Any = None, stack: Any = None, **ctx: Any
    ) -> HttpResponse:
        """A call request for the function ``fn`` of the app ``shop``, whose finished steps are ``steps``."""
        event = {"id": "e1", "name": "go", "data": {}, "ts": NOW_MS, "user": {}}
        order = tuple(steps or ()) if stack is None else tuple(stack)
        context = CallContext(run_id=RUN_ID, step_id=step, stack=order, **{"max_attempts": 2, **ctx})
        call = CallRequest(event=event, ctx=context, events=(event,), steps=steps or {})
        return await self.request("POST", query={"fnId": f"shop-{fn}", "stepId": step}, body=canonical(call.encode()))

    async def outcome(self, fn: str, **call: Any) -> Outcome:
        """What a server reads from the answer to a call request."""
        answer = await self.call(fn, **call)
        return decode_reply(answer.status, answer.headers, answer.body, system.now_ms()).outcome
