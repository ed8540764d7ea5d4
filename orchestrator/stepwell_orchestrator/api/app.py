"""The API as an ASGI application."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.wire.headers import SERVER_KIND
from stepwell_orchestrator.api import (
    checkpoints,
    crons,
    events,
    functions,
    halts,
    run_metadata,
    runs,
    signals,
    system,
    test_hooks,
)
from stepwell_orchestrator.api.auth import UnauthorizedError, require_bearer
from stepwell_orchestrator.api.deps import Access, Deps, ServerKind
from stepwell_orchestrator.api.envelope import failure
from stepwell_orchestrator.api.gql import endpoint as gql
from stepwell_orchestrator.api.v2 import server as v2
from stepwell_orchestrator.api.v2.shapes import PREFIXES
from stepwell_orchestrator.api.v2.shapes import failure as v2_failure
from stepwell_orchestrator.errors import ApiError

_logger = logging.getLogger("stepwell.api")

_VERSIONED = ("/v1/", *(f"{prefix}/" for prefix in PREFIXES))
_NOUNS = (system, events, functions, halts, crons, runs, run_metadata, signals, checkpoints, test_hooks, gql, v2)


def create_api(
    deps: Deps, *, kind: ServerKind = "dev", event_keys: Iterable[str] = (), signing_keys: Iterable[str] = ()
) -> FastAPI:
    """The API over ``deps``. Without signing keys everybody may ask; without event keys, any key will do in dev."""
    api = FastAPI(title="Stepwell", openapi_url=None, redirect_slashes=False)
    api.state.deps = deps
    api.state.access = Access(kind, tuple(event_keys), tuple(signing_keys))
    for noun in _NOUNS:
        api.include_router(noun.router)
    api.add_exception_handler(ApiError, _answer_api_error)
    api.add_exception_handler(UnauthorizedError, _answer_unauthorized)
    api.add_exception_handler(HTTPException, _answer_http_exception)
    if kind == "dev":
        api.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    api.add_middleware(_Edge, kind=kind)
    return api


class _Edge:
    """Around everything: names the server's kind, and turns a fault of ours into a 500 that says no more than that."""

    def __init__(self, app: ASGIApp, kind: ServerKind) -> None:
        self._app = app
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[SERVER_KIND] = self._kind
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        except ClientDisconnect:
            _logger.debug("%s %s: the client went away", scope["method"], scope["path"])
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope["path"])
            if not started:
                error = ApiError(500, "internal error; the server's log has the details", code="internal_error")
                await _refusal(scope["path"], error)(scope, receive, stamped)


def _refusal(path: str, error: ApiError) -> Response:
    """An error in the shape of the API that was asked."""
    return v2_failure(error) if path.startswith(PREFIXES) else failure(error)


async def _answer_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _refusal(request.url.path, error)


async def _answer_unauthorized(request: Request, _: Exception) -> Response:
    if request.url.path.startswith(PREFIXES):
        return v2_failure(ApiError(401, "Authentication failed"))
    return PlainTextResponse("Authentication failed", 401)


async def _answer_not_offered(request: Request) -> Response:
    """Answer for a path of an API that others have more of, such as sandboxes, webhooks and realtime."""
    try:
        await require_bearer(request, request.app.state.access)
    except UnauthorizedError as error:
        return await _answer_unauthorized(request, error)
    path = request.url.path
    message = f"{request.method} {path[:200]} is not offered by this server; its HTTP API page lists what is"
    return _refusal(path, ApiError(501, message, code="not_implemented"))


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404 and path.startswith(_VERSIONED):
        return await _answer_not_offered(request)
    response = _refusal(path, ApiError(error.status_code, f"{error.detail}: {request.method} {path}"))
    response.headers.update(error.headers or {})
    return response
