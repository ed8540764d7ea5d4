"""Carrying call requests over HTTP (protocol 4.1)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from stepwell.wire.reply import MAX_REPLY_BYTES
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.limits import CALL_TIMEOUT_MS, REQUEST_BYTES_MAX
from stepwell_orchestrator.ports import CallError, HttpReply
from stepwell_orchestrator.urls import shown_url

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

_CONNECT_TIMEOUT_MS: Final = 10 * SECOND_MS
_REDIRECTS_MAX: Final = 60
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEPALIVE_S: Final = 4
"""Shorter than the five seconds after which common app servers close an idle connection under our feet."""


class HttpInvoker:
    """An Invoker over one HTTP client session, made at the first call; ``close`` it when done."""

    def __init__(self, *, timeout_ms: int = CALL_TIMEOUT_MS, reply_bytes_max: int = MAX_REPLY_BYTES) -> None:
        self._timeout_ms = timeout_ms
        self._reply_bytes_max = reply_bytes_max
        self._session: ClientSession | None = None

    def body_bytes_max(self, url: str) -> int | None:
        """What endpoints commonly take (protocol 4.4)."""
        return REQUEST_BYTES_MAX

    async def call(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """POST the body, following redirects by posting it again; a reply is read up to one byte over the bound."""
        return await self.request("POST", url, headers, body)

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Like ``call``, with any method: what a sync is asked for with (protocol 2.2)."""
        import aiohttp

        try:
            return await self._follow(method, url, headers, body)
        except aiohttp.InvalidURL as error:
            raise CallError(f"{url} is not a URL that can be called") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise CallError(f"the host of {shown_url(url)} cannot be resolved; check the URL") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise CallError(f"nothing answers at {shown_url(url)}; is your app running?") from error
        except TimeoutError as error:
            raise CallError(f"{shown_url(url)} did not reply within {self._timeout_ms / SECOND_MS:g} s") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise CallError(f"{shown_url(url)} closed the connection before its reply was complete") from error

    async def close(self) -> None:
        """Close the idle connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _follow(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        for _ in range(_REDIRECTS_MAX):
            reply = await self._exchange(method, url, headers, body)
            location = reply.headers.get("location")
            if reply.status not in _REDIRECTS or not location:
                return reply
            url = urljoin(url, location)
        raise CallError(f"{shown_url(url)} redirects in circles: {_REDIRECTS_MAX} times so far")

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """One request and its reply; made once more when a kept connection was closed before a byte of it.

        App servers and load balancers close idle connections at any moment, also when a request is on its way to them.
        """
        from stepwell_orchestrator.transports.app_connections import UnansweredError

        if self._session is None:
            self._session = self._open(_KEEPALIVE_S)
        try:
            return await self._ask(self._session, method, url, headers, body)
        except UnansweredError:
            # Other kept connections may be as dead.
            async with self._open(keepalive_s=None) as session:
                return await self._ask(session, method, url, headers, body)

    async def _ask(
        self, session: ClientSession, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply:
        # As a file it is sent in pieces: a large body in one piece would hold up the loop, and aiohttp warns of it.
        data = io.BytesIO(body)
        async with session.request(method, url, headers=headers, data=data, allow_redirects=False) as response:
            return await self._reply(response)

    async def _reply(self, response: ClientResponse) -> HttpReply:
        chunks, size = [], 0
        while size <= self._reply_bytes_max and (chunk := await response.content.readany()):
            chunks.append(chunk)
            size += len(chunk)
        lowered = {name.lower(): value for name, value in response.headers.items()}
        return HttpReply(response.status, lowered, b"".join(chunks)[: self._reply_bytes_max + 1])

    def _open(self, keepalive_s: float | None) -> ClientSession:
        import aiohttp

        from stepwell_orchestrator.transports.app_connections import AppConnector, AppResponse

        timeout = aiohttp.ClientTimeout(
            total=self._timeout_ms / SECOND_MS, sock_connect=_CONNECT_TIMEOUT_MS / SECOND_MS
        )
        connector = AppConnector(keepalive_s=keepalive_s)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, response_class=AppResponse)
