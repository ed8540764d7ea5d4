"""Apps, functions and their invocation in REST v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from stepwell.errors import EventError
from stepwell_orchestrator.api.deps import Deps, WithDeps
from stepwell_orchestrator.api.envelope import json_response, known_query, read_object
from stepwell_orchestrator.api.functions import INVOCATION_BYTES_MAX
from stepwell_orchestrator.api.v2.shapes import app_object, function_object, success
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.model.function import App, Function

router = APIRouter()


@router.get("/apps", dependencies=[known_query()])
async def list_apps(deps: WithDeps) -> Response:
    """All apps; they are few."""
    apps = [app_object(app) for app in await deps.registry.list_apps()]
    return success(apps, deps.clock.now_ms(), page={"cursor": None, "hasMore": False, "limit": len(apps)})


@router.get("/apps/{app_id}")
async def get_app(app_id: str, deps: WithDeps) -> Response:
    """One app."""
    return success(app_object(await _find_app(deps, app_id)), deps.clock.now_ms())


@router.get("/apps/{app_id}/functions", dependencies=[known_query()])
async def list_functions(app_id: str, deps: WithDeps) -> Response:
    """An app's functions."""
    await _find_app(deps, app_id)
    functions = [function_object(function) for function in await deps.registry.list_functions(app_id)]
    return success(functions, deps.clock.now_ms(), page={"cursor": None, "hasMore": False, "limit": len(functions)})


@router.get("/apps/{app_id}/functions/{function_id}")
async def get_function(app_id: str, function_id: str, deps: WithDeps) -> Response:
    """One function."""
    return success(function_object(await find_function(deps, app_id, function_id)), deps.clock.now_ms())


@router.post("/apps/{app_id}/functions/{function_id}/invoke")
async def invoke(app_id: str, function_id: str, request: Request, deps: WithDeps) -> Response:
    """Start a function. A key that was used within a day is a conflict, which names the run before."""
    function = await find_function(deps, app_id, function_id)
    body = await read_object(request, INVOCATION_BYTES_MAX, empty={})
    try:
        invocation = await deps.control.invoke(function.slug, _event(body))
    except EventError as error:
        raise ApiError(400, str(error), code="validation_error") from error
    if invocation.run_id is None:
        message = (
            f"{function.slug} debounces or batches its events: event {invocation.event_id} waits, and its run does not "
            "exist yet; GET /v1/events/{id} says until when"
        )
        raise ApiError(422, message, code="function_debounced")
    if invocation.is_new:
        return success({"runId": invocation.run_id}, deps.clock.now_ms())
    told = {"code": "idempotency_conflict", "message": f"run {invocation.run_id} was started with this key before"}
    return json_response({"errors": [told], "data": {"runId": invocation.run_id}}, 409)


async def find_function(deps: Deps, app_id: str, function_id: str) -> Function:
    """A function of an app, by its id with or without the app's. Raises ApiError 404."""
    for slug in (f"{app_id}-{function_id}", function_id):
        function = await deps.registry.get_function(slug)
        if function is not None and function.app_id == app_id:
            return function
    raise ApiError(404, f"app {app_id[:100]!r} has no function {function_id[:100]!r}; sync it first")


async def _find_app(deps: Deps, app_id: str) -> App:
    for app in await deps.registry.list_apps():
        if app.id == app_id:
            return app
    raise ApiError(404, f"there is no app {app_id[:100]!r}; sync it first")


def _event(body: Mapping[str, Any]) -> dict[str, Any]:
    """The event of an invocation. The key is the event's id: both keep a function from starting twice within a day."""
    key = body.get("idempotencyKey")
    if key is not None and not isinstance(key, str):
        raise ApiError(400, "idempotencyKey must be a text", code="validation_error")
    return {"data": body.get("data"), "user": body.get("user"), **({"id": key} if key else {})}
