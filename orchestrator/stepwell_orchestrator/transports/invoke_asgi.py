"""Carrying call requests to apps in this process: ASGI without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from stepwell.wire.reply import MAX_REPLY_BYTES
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.limits import CALL_TIMEOUT_MS, REQUEST_BYTES_MAX
from stepwell_orchestrator.ports import CallError, HttpReply

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

IN_PROCESS_ORIGIN: Final = "http://in-process"
"""What the URLs of apps served in this process start with; nothing listens there."""


class InProcessInvoker:
    """An Invoker over ASGI apps, found by the longest base URL that the called URL starts with."""

    def __init__(self, apps: Mapping[str, AsgiApp] | None = None) -> None:
        self._apps = dict(apps or {})

    def mount(self, base_url: str, app: AsgiApp) -> None:
        """Serve ``app`` at ``base_url``, in place of what was there."""
        self._apps[base_url] = app

    def body_bytes_max(self, url: str) -> int | None:
        """The same as over HTTP."""
        return REQUEST_BYTES_MAX

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """POST the body to the app; a reply is read up to one byte over the bound."""
        return await self.request("POST", url, headers, body)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Like ``call``, with any method."""
        base_url = max((base for base in self._apps if _covers(base, url)), key=len, default=None)
        if base_url is None:
            raise CallError(f"no app is served in this process at {url.partition('?')[0]}")
        exchange = _Exchange(body)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_MS / SECOND_MS):
                await self._apps[base_url](_scope(method, url, headers), exchange.receive, exchange.send)
        except TimeoutError as error:
            raise CallError(f"the app did not reply within {CALL_TIMEOUT_MS // SECOND_MS} s") from error
        except Exception as error:
            raise CallError(f"the app raised {type(error).__name__}: {error}") from error
        return exchange.reply()


@dataclass(slots=True)
class _Exchange:
    """One request's body going in and the reply coming out."""

    body: bytes
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    received: bool = False
    complete: bool = False

    async def receive(self) -> Message:
        if self.received:
            return {"type": "http.disconnect"}
        self.received = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            pairs = message.get("headers", ())
            self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}
        elif message["type"] == "http.response.body":
            if self.size <= MAX_REPLY_BYTES:
                self.chunks.append(message.get("body", b""))
                self.size += len(self.chunks[-1])
            self.complete = not message.get("more_body", False)

    def reply(self) -> HttpReply:
        if not self.status or not self.complete:
            raise CallError("the app returned without a complete reply")
        return HttpReply(self.status, self.headers, b"".join(self.chunks)[: MAX_REPLY_BYTES + 1])


def _covers(base_url: str, url: str) -> bool:
    path = url.partition("?")[0]
    return path == base_url or path.startswith(base_url.rstrip("/") + "/")


def _scope(method: str, url: str, headers: Mapping[str, str]) -> MutableMapping[str, Any]:
    parts = urlsplit(url)
    lowered = {name.lower(): value for name, value in headers.items()}
    lowered.setdefault("host", parts.netloc)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": parts.scheme,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lowered.items()],
        "client": None,
        "server": (parts.hostname, parts.port),
        "state": {},
    }
