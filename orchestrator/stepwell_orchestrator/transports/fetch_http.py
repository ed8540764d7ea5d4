"""HTTP requests on behalf of steps, to public addresses and what is allowed beside them (protocol 9.4, 9.5).

An address is judged where the connection is made, for every redirect anew: a name that is looked up twice may have
another address the second time.
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

from stepwell.wire.times import MINUTE_MS, SECOND_MS
from stepwell_orchestrator.limits import MEBIBYTE
from stepwell_orchestrator.model.fetch import Fetched, FetchRequest
from stepwell_orchestrator.ports import FetchError
from stepwell_orchestrator.transports.egress import Allowed, literal
from stepwell_orchestrator.urls import shown_url

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from aiohttp.abc import AbstractResolver, ResolveResult
    from yarl import URL

REPLY_BYTES_MAX: Final = 4 * MEBIBYTE
TIMEOUT_MS: Final = 10 * MINUTE_MS
REDIRECTS_MAX: Final = 10

_CONTROL = re.compile(r"[\r\n\0]")
_CONNECT_TIMEOUT_MS: Final = 10 * SECOND_MS
_USER_AGENT: Final = "stepwell"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEPT_ELSEWHERE = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""The only headers that follow a redirect to another origin: any other may be a secret of the first one."""
_OF_THE_TRANSFER = frozenset({"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"})
_NOT_FORWARDED = _OF_THE_TRANSFER | {"accept-encoding", "host", "te", "trailer", "upgrade"}
"""What is this client's own business."""


class RefusedAddressError(OSError):
    """The addresses of a host may not be connected to."""


class HttpFetcher:
    """A Fetcher over one HTTP client session, made at the first request; ``close`` it when done."""

    def __init__(
        self,
        allowed: Allowed,
        *,
        timeout_ms: int = TIMEOUT_MS,
        reply_bytes_max: int = REPLY_BYTES_MAX,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allowed = allowed
        self._timeout_ms = timeout_ms
        self._reply_bytes_max = reply_bytes_max
        self._resolver = resolver
        self._session: ClientSession | None = None

    async def fetch(self, request: FetchRequest) -> Fetched:
        """Make the request. What may not be reached, too long a reply and too many redirects are final errors."""
        import aiohttp

        where = shown_url(request.url)
        try:
            return await self._follow(request)
        except FetchError:
            raise
        except RefusedAddressError as error:
            raise FetchError(str(error), final=True) from None
        except (aiohttp.InvalidURL, ValueError):
            raise FetchError(
                f"{where} with its method and headers is no request that can be made", final=True
            ) from None
        except TimeoutError:
            raise FetchError(f"{where} did not reply within {self._timeout_ms / SECOND_MS:g} s") from None
        except aiohttp.ClientConnectorDNSError as error:
            refused = error.os_error
            if isinstance(refused, RefusedAddressError):
                raise FetchError(str(refused), final=True) from None
            raise FetchError(f"the host of {where} cannot be resolved") from None
        except (aiohttp.ClientError, OSError) as error:
            raise FetchError(f"{where} could not be reached, or broke off: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _follow(self, request: FetchRequest) -> Fetched:
        from yarl import URL

        method, url, body = request.method, URL(request.url), request.body
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_FORWARDED}
        if any(_CONTROL.search(name) or _CONTROL.search(value) for name, value in headers.items()):
            raise ValueError("a header holds a line break")
        for _ in range(REDIRECTS_MAX + 1):
            self._check(url)
            async with self._open().request(
                method,
                url,
                headers=_title_case(headers),
                data=io.BytesIO(body) if body else None,
                allow_redirects=False,
            ) as response:
                location = response.headers.get("location")
                if response.status not in _REDIRECTS or not location:
                    return await self._reply(response)
                target = URL(urljoin(str(url), location))
                if method not in ("GET", "HEAD") and (response.status == 303 or _posts_once(method, response.status)):
                    method, body = "GET", b""
                headers = _headers_at(headers, url, target, with_body=bool(body))
                url = target
        raise FetchError(f"{shown_url(request.url)} redirects more than {REDIRECTS_MAX} times", final=True)

    def _check(self, url: URL) -> None:
        refused = self._allowed.refused_url(url.scheme, url.raw_host or "")
        if refused is not None:
            raise FetchError(f"{shown_url(str(url))} is refused: {refused}", final=True)

    async def _reply(self, response: ClientResponse) -> Fetched:
        body = bytearray()
        while chunk := await response.content.readany():
            body += chunk
            if len(body) > self._reply_bytes_max:
                where = shown_url(str(response.url))
                raise FetchError(f"the reply of {where} is over the limit of {self._reply_bytes_max} bytes", final=True)
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            lowered = name.lower()
            if lowered not in _OF_THE_TRANSFER:
                headers[lowered] = f"{headers[lowered]}, {value}" if lowered in headers else value
        url = response.url.with_user(None).with_fragment(None)
        return Fetched(str(url), response.status, headers, bytes(body))

    def _open(self) -> ClientSession:
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=self._timeout_ms / SECOND_MS, sock_connect=_CONNECT_TIMEOUT_MS / SECOND_MS
            )
            resolver = guarded(self._resolver or aiohttp.ThreadedResolver(), self._allowed)
            connector = aiohttp.TCPConnector(limit=0, resolver=resolver, use_dns_cache=False)
            # Cookies of one function's request must not go along with another's.
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT},
                skip_auto_headers=("content-type",),
            )
        return self._session


def guarded(inner: AbstractResolver, allowed: Allowed) -> AbstractResolver:
    """A resolver that gives only addresses that may be connected to. Raises RefusedAddressError when there are none."""
    from aiohttp.abc import AbstractResolver

    class Guarded(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await inner.resolve(host, port, family)
            refusals = [_refusal(allowed, host, item) for item in found]
            reachable = [item for item, refused in zip(found, refusals, strict=True) if refused is None]
            if found and not reachable:
                raise RefusedAddressError(refusals[0])
            return reachable

        async def close(self) -> None:
            await inner.close()

    return Guarded()


def _refusal(allowed: Allowed, host: str, found: Mapping[str, Any] | ResolveResult) -> str | None:
    address = literal(found["host"])
    if address is None:
        return f"{host} resolves to something that is no address"
    return allowed.refused_address(host, address)


def _title_case(headers: Mapping[str, str]) -> dict[str, str]:
    """Names as HTTP/1.1 commonly spells them. Case means nothing in them, but some look for ``X-Api-Key`` alone."""
    return {name.title(): value for name, value in headers.items()}


def _posts_once(method: str, status: int) -> bool:
    """What browsers do with a POST that is redirected by one of the old statuses."""
    return method == "POST" and status in (301, 302)


def _headers_at(headers: Mapping[str, str], url: URL, target: URL, *, with_body: bool) -> dict[str, str]:
    """The headers to go on with at the target of a redirect."""
    same = url.origin() == target.origin()
    return {
        name: value
        for name, value in headers.items()
        if (same or name in _KEPT_ELSEWHERE) and (with_body or not name.startswith("content-"))
    }
