"""HTTP from the app to its server: one request, and an authenticated API call with the fallback key (protocol 1.6)."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from stepwell.client.http import HttpResponse
from stepwell.client.settings import Settings, read_proxies
from stepwell.version import SDK
from stepwell.wire import headers as names
from stepwell.wire.signing import hash_signing_key

if TYPE_CHECKING:
    import aiohttp

TIMEOUT_S: Final = 30

_KEY_REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """A request to the server; its URL may hold an event key, so that it never shows in a repr."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""
    timeout_s: int = TIMEOUT_S


Fetch = Callable[[OutboundRequest], Awaitable[HttpResponse]]


async def fetch(request: OutboundRequest) -> HttpResponse:
    """Make a request over the network. Raises ConnectionError when no complete response came in time."""
    async with connection() as fetch_once:
        return await fetch_once(request)


@asynccontextmanager
async def connection() -> AsyncGenerator[Fetch]:
    """A ``fetch`` for several requests over one connection to the server, which the first of them opens."""
    async with AsyncExitStack() as closing:
        sessions: list[aiohttp.ClientSession] = []

        async def fetch_in_session(request: OutboundRequest) -> HttpResponse:
            import aiohttp

            if not sessions:
                sessions.append(await closing.enter_async_context(aiohttp.ClientSession()))
            return await _fetch(sessions[0], request)

        yield fetch_in_session


async def _fetch(session: aiohttp.ClientSession, request: OutboundRequest) -> HttpResponse:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=request.timeout_s)
    try:
        async with session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=io.BytesIO(request.body) if request.body else None,
            timeout=timeout,
            proxy=read_proxies().for_url(request.url),
        ) as answer:
            body = await answer.read()
            return HttpResponse(answer.status, {key.lower(): value for key, value in answer.headers.items()}, body)
    except TimeoutError:
        raise ConnectionError(f"no answer within {request.timeout_s} s") from None
    except aiohttp.ClientHttpProxyError as error:
        raise ConnectionError(f"the proxy answered {error.status}; check HTTPS_PROXY and NO_PROXY") from None
    except aiohttp.ClientProxyConnectionError:
        raise ConnectionError("the proxy cannot be reached; check HTTPS_PROXY and NO_PROXY") from None
    except aiohttp.InvalidURL:
        # Its text is the URL, which may hold the event key.
        raise ConnectionError(
            "the server's URL is not one, or the proxy's; check the base URL and HTTPS_PROXY"
        ) from None
    except aiohttp.ClientError as error:
        raise ConnectionError(str(error) or type(error).__name__) from error


async def call_api(settings: Settings, fetch: Fetch, request: OutboundRequest) -> HttpResponse:
    """Make ``request`` as this app: with the signing key as bearer, and again with the fallback key when refused.

    In dev mode no key is sent. Raises what ``fetch`` raises.
    """
    key, *fallback = (None,) if settings.dev else settings.signing_keys or (None,)
    answer = await fetch(_authorised(settings, request, key))
    if answer.status in _KEY_REFUSED and fallback:
        answer = await fetch(_authorised(settings, request, fallback[0]))
    return answer


def own_headers(settings: Settings) -> dict[str, str]:
    """What the app says about itself on every request and response (protocol 1.7)."""
    origin = {} if settings.env is None else {names.ENV: settings.env}
    return {names.SDK: SDK, "user-agent": SDK, names.REQUEST_VERSION: str(names.REQUEST_VERSION_CURRENT), **origin}


def _authorised(settings: Settings, request: OutboundRequest, key: str | None) -> OutboundRequest:
    headers = {"content-type": "application/json", **own_headers(settings), **request.headers}
    if key is not None:
        headers["authorization"] = f"Bearer {hash_signing_key(key)}"
    return replace(request, headers=headers)
