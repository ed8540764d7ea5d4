"""Apps and functions: registering, listing and forgetting them."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response

from stepwell.errors import EventError, WireError
from stepwell.wire.encoding import decode
from stepwell.wire.headers import EVENT_ID_SEED, EXPECTED_SERVER_KIND
from stepwell.wire.ids import decode_seed
from stepwell.wire.times import format_instant
from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import WithAccess, WithDeps
from stepwell_orchestrator.api.envelope import json_response, known_query, read_body, read_object, success
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import EVENT_BYTES_MAX, MEBIBYTE
from stepwell_orchestrator.model.flow import Halted, Halts, HaltScope
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.views.why_view import halt_body

router = APIRouter(dependencies=[Depends(require_bearer)])

_REGISTRATION_BYTES_MAX: Final = 16 * MEBIBYTE
INVOCATION_BYTES_MAX: Final = EVENT_BYTES_MAX + MEBIBYTE
"""Above the largest event: one that is too large is told so."""


@router.post("/fn/register")
async def register(request: Request, deps: WithDeps, access: WithAccess) -> Response:
    """Take an app's registration (protocol 2.3)."""
    expected = request.headers.get(EXPECTED_SERVER_KIND, "")
    if expected and expected != access.kind:
        raise ApiError(400, f"Expected server kind {expected}, got {access.kind}")
    try:
        raw = decode(await read_body(request, _REGISTRATION_BYTES_MAX))
    except WireError as error:
        raise ApiError(400, f"Invalid request: {error}") from error
    deploy_id = request.query_params.get("deployId", "")
    synced = await deps.register.accept(raw, reached_at=deps.reached_at(deploy_id))
    return json_response(synced.encode())


@router.post("/invoke/{slug}")
async def invoke(slug: str, request: Request, deps: WithDeps) -> Response:
    """Start one function on the event in the body, whatever its triggers (protocol 7.1)."""
    raw = await read_object(request, INVOCATION_BYTES_MAX, empty={})
    try:
        invocation = await deps.control.invoke(slug, raw, decode_seed(request.headers.get(EVENT_ID_SEED)))
    except EventError as error:
        raise ApiError(400, str(error)) from error
    return json_response({"id": invocation.event_id, "status": 200})


@router.delete("/fn/remove")
async def remove(request: Request, deps: WithDeps) -> Response:
    """Forget the app served at ``url``; its runs end when they are next driven."""
    url = request.query_params.get("url", "")
    if not url:
        raise ApiError(400, "url is missing; say which app to forget, e.g. ?url=http://localhost:3000/api/inngest")
    if not await deps.register.forget(url):
        raise ApiError(404, f"no app is served at {url[:200]}")
    return json_response({"status": 200})


@router.get("/v1/apps/{app_id}/functions", dependencies=[known_query()])
async def functions_of_app(app_id: str, deps: WithDeps) -> Response:
    """An app's functions."""
    apps = {app.id: app for app in await deps.registry.list_apps()}
    if app_id not in apps:
        raise ApiError(404, f"there is no app {app_id[:100]!r}; sync it first")
    functions = await deps.registry.list_functions(app_id)
    halts = await deps.registry.halts_now()
    return success([_body(apps[app_id], function, halts) for function in functions], deps.clock.now_ms())


def function_config(function: Function) -> dict[str, Any]:
    """A function's configuration, as the dev info and the listing show it."""
    step = {"id": "step", "name": "step", "uri": function.url, "retries": function.retries}
    return {
        "id": function.slug,
        "name": function.name,
        "slug": function.slug,
        "triggers": [trigger.encode() for trigger in function.triggers],
        **function.options,
        "steps": [step],
    }


def _body(app: App, function: Function, halts: Halts) -> dict[str, Any]:
    closed = halts.closed_by(Halted.STARTS, function.slug, function.app_id)
    return {
        "id": function.slug,
        "app_id": function.app_id,
        "name": function.name,
        "config": function_config(function),
        "created_at": format_instant(app.synced_at_ms),
        "stands": halt_body(*(closed or (HaltScope("function", function.slug), None))),
    }
