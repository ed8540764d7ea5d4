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
        session = self._open()
        for _ in range(_REDIRECTS_MAX):
            # As a file it is sent in pieces: a large body in one piece would hold up the loop, and aiohttp warns of it.
            data = io.BytesIO(body)
            async with session.request(method, url, headers=headers, data=data, allow_redirects=False) as response:
                location = response.headers.get("location")
                if response.status in _REDIRECTS and location:
                    url = urljoin(url, location)
                    continue
                return await self._reply(response)
        raise CallError(f"{shown_url(url)} redirects in circles: {_REDIRECTS_MAX} times so far")

    async def _reply(self, response: ClientResponse) -> HttpReply:
        chunks, size = [], 0
        while size <= self._reply_bytes_max and (chunk := await response.content.readany()):
            chunks.append(chunk)
            size += len(chunk)
        lowered = {name.lower(): value for name, value in response.headers.items()}
        return HttpReply(response.status, lowered, b"".join(chunks)[: self._reply_bytes_max + 1])

    def _open(self) -> ClientSession:
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=self._timeout_ms / SECOND_MS, sock_connect=_CONNECT_TIMEOUT_MS / SECOND_MS
            )
            # The pump bounds how many calls are under way; the pool must not hold them back a second time.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self._session
