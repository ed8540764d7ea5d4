"""Proxies as apps and servers have them in front: they pass requests on, and change something on the way."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin

_OF_THE_CONNECTION = frozenset(
    {"connection", "content-encoding", "content-length", "date", "host", "transfer-encoding"}
)


async def passed_on(request: web.Request, url: str) -> web.Response:
    """What the other side answers to a request."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_THE_CONNECTION}
    async with (
        aiohttp.ClientSession() as session,
        session.request(request.method, url, headers=headers, data=io.BytesIO(await request.read())) as answer,
    ):
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        return web.Response(status=answer.status, headers=kept, body=await answer.read())


@asynccontextmanager
async def proxy(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server that lets ``handle`` answer everything; its origin."""
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    with listen("127.0.0.1", 0) as listener:
        await web.SockSite(runner, listener).start()
        try:
            yield own_origin(listener)
        finally:
            await runner.cleanup()


@asynccontextmanager
async def stripping_proxy(to: str, prefix: str) -> AsyncIterator[str]:
    """A proxy that serves ``to`` under a prefix of which ``to`` does not know; its origin with the prefix."""

    async def handle(request: web.Request) -> web.Response:
        if not request.path.startswith(f"{prefix}/"):
            return web.Response(status=404)
        return await passed_on(request, to + request.path_qs.removeprefix(prefix))

    async with proxy(handle) as origin:
        yield origin + prefix
