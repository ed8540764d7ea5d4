"""Apps of the official Python package, served as their users serve them, and our dev server beside them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import fastapi
import flask
import uvicorn
import werkzeug.serving

from stepwell_orchestrator.entry.dev import listen
from stepwell_orchestrator.entry.dev_server import own_origin
from stepwell_orchestrator.entry.settings import ServerSettings
from tests.interop.proxies import stripping_proxy
from tests.interop.server import EVENT_KEY, SIGNING_KEY, Server, dev_server

with warnings.catch_warnings():
    # The package defines its models in a form that pydantic has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import inngest
    import inngest.fast_api
    import inngest.flask

Define = Callable[[inngest.Inngest], list[Any]]
"""Defines an app's functions on a client."""

PATH = "/api/inngest"


class QuietServer(uvicorn.Server):
    """Leaves signals to the test run."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def on_uvicorn(api: Any, listener: socket.socket) -> AsyncIterator[None]:
    """An ASGI application, on this loop."""
    server = QuietServer(uvicorn.Config(api, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def on_fastapi(client: inngest.Inngest, functions: list[Any], listener: socket.socket) -> AsyncIterator[None]:
    """The functions, served by FastAPI on uvicorn."""
    api = fastapi.FastAPI()
    inngest.fast_api.serve(api, client, functions)
    async with on_uvicorn(api, listener):
        yield


@asynccontextmanager
async def on_flask(client: inngest.Inngest, functions: list[Any], listener: socket.socket) -> AsyncIterator[None]:
    """The functions, served by Flask in threads."""
    app = flask.Flask("official")
    inngest.flask.serve(app, client, functions)
    host, port = listener.getsockname()
    server = werkzeug.serving.make_server(host, port, app, threaded=True, fd=listener.fileno())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        await asyncio.to_thread(thread.join)
        server.server_close()


FRAMEWORKS = {"fastapi": on_fastapi, "flask": on_flask}


def new_client(origin: str, *, keyed: bool = False, **options: Any) -> inngest.Inngest:
    """A client of the package for the server at ``origin``: in production mode with keys, or in dev mode without."""
    keys = {"event_key": EVENT_KEY, "signing_key": SIGNING_KEY} if keyed else {}
    defaults = {"app_id": "official", "logger": logging.getLogger("official"), "event_api_base_url": origin}
    return inngest.Inngest(**{**defaults, "is_production": keyed, "api_base_url": origin, **keys, **options})


@asynccontextmanager
async def official_client(origin: str, *, keyed: bool = False, **options: Any) -> AsyncIterator[inngest.Inngest]:
    """A client as ``new_client`` makes it, whose connections are closed at the end."""
    client = new_client(origin, keyed=keyed, **options)
    try:
        yield client
    finally:
        # The package leaves its connections to the garbage collector.
        client._http_client._http_client_sync.close()
        await client._http_client._http_client.aclose()


@asynccontextmanager
async def official(
    define: Define,
    *,
    framework: str = "fastapi",
    settings: ServerSettings | None = None,
    prefix: str = "",
    **options: Any,
) -> AsyncIterator[Server]:
    """An app called ``official``, registered with a dev server on an empty database. ``options`` are the client's.

    With a ``prefix`` there is a proxy in front of the app that takes it away from the path.
    """
    with listen("127.0.0.1", 0) as listener, listen("127.0.0.1", 0) as app_listener:
        async with official_client(own_origin(listener), keyed=settings is not None, **options) as client:
            serving = FRAMEWORKS[framework](client, define(client), app_listener)
            reached = stripping_proxy(own_origin(app_listener), prefix)
            async with (
                serving,
                reached as app_origin,
                dev_server(listener, (f"{app_origin}{PATH}",), settings) as server,
            ):
                yield server
