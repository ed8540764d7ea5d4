"""Pausing, draining and resuming functions and apps, and how they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from fastapi import APIRouter, Depends, Request, Response

from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import Deps, WithDeps
from stepwell_orchestrator.api.envelope import known_query, read_object, success
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import REQUEST_BYTES_MAX
from stepwell_orchestrator.model.flow import Halted, HaltScope
from stepwell_orchestrator.views.why_view import counts_body, halt_body

router = APIRouter(dependencies=[Depends(require_bearer)])

_TEXT_MAX: Final = 200
_MEMBERS: Final = ("by", "reason")


@router.post("/v1/functions/{function_id}/pause", dependencies=[known_query()])
async def pause_function(function_id: str, request: Request, deps: WithDeps) -> Response:
    """Start no run of a function, and make no call."""
    return await _stop("pause", HaltScope("function", function_id), request, deps)


@router.post("/v1/apps/{app_id}/pause", dependencies=[known_query()])
async def pause_app(app_id: str, request: Request, deps: WithDeps) -> Response:
    """The same for all functions of an app."""
    return await _stop("pause", HaltScope("app", app_id), request, deps)


@router.post("/v1/functions/{function_id}/drain", dependencies=[known_query()])
async def drain_function(function_id: str, request: Request, deps: WithDeps) -> Response:
    """Start no run of a function; what has started goes on to its end."""
    return await _stop("drain", HaltScope("function", function_id), request, deps)


@router.post("/v1/apps/{app_id}/drain", dependencies=[known_query()])
async def drain_app(app_id: str, request: Request, deps: WithDeps) -> Response:
    """The same for all functions of an app."""
    return await _stop("drain", HaltScope("app", app_id), request, deps)


@router.post("/v1/functions/{function_id}/resume", dependencies=[known_query()])
async def resume_function(function_id: str, deps: WithDeps) -> Response:
    """Let a function go on."""
    return await _resume(HaltScope("function", function_id), deps)


@router.post("/v1/apps/{app_id}/resume", dependencies=[known_query()])
async def resume_app(app_id: str, deps: WithDeps) -> Response:
    """Let an app go on, but for those of its functions that are paused by themselves."""
    return await _resume(HaltScope("app", app_id), deps)


@router.get("/v1/functions/{function_id}", dependencies=[known_query()])
async def get_function(function_id: str, deps: WithDeps) -> Response:
    """How a function stands, by itself or with its app, and how many of its runs are left."""
    scope = HaltScope("function", function_id)
    app_id = await deps.control.halting.app_of(function_id)
    closed = (await deps.registry.halts_now()).closed_by(Halted.STARTS, function_id, app_id)
    counts = counts_body(await deps.control.halting.counts(scope))
    stands = halt_body(*(closed or (scope, None)))
    return success({"id": function_id, "app_id": app_id, "stands": stands, **counts}, deps.clock.now_ms())


async def _stop(action: Literal["pause", "drain"], scope: HaltScope, request: Request, deps: Deps) -> Response:
    said = _said(await read_object(request, REQUEST_BYTES_MAX, empty={}))
    halting = deps.control.halting
    if action == "pause":
        return success(halt_body(scope, await halting.pause(scope, **said)), deps.clock.now_ms())
    halt = await halting.drain(scope, **said)
    counts = counts_body(await halting.counts(scope))
    return success({**halt_body(scope, halt), **counts}, deps.clock.now_ms())


async def _resume(scope: HaltScope, deps: Deps) -> Response:
    await deps.control.halting.resume(scope)
    return success(halt_body(scope, None), deps.clock.now_ms())


def _said(body: Mapping[str, Any]) -> dict[str, str | None]:
    """Who asks, and why, if they say so. Raises ApiError 400."""
    unknown = [name for name in body if name not in _MEMBERS]
    if unknown:
        raise ApiError(400, f"there is no member {unknown[0][:40]!r}; the members are {', '.join(_MEMBERS)}")
    for name, text in body.items():
        if text is not None and not (isinstance(text, str) and len(text) <= _TEXT_MAX):
            raise ApiError(400, f"{name} must be a text of {_TEXT_MAX} characters at most")
    return {name: body.get(name) or None for name in _MEMBERS}
