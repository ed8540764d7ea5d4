"""The server itself: health, dev info, and what SDKs ask before they talk."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Depends, Request, Response

from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import WithAccess, WithDeps
from stepwell_orchestrator.api.envelope import json_response
from stepwell_orchestrator.api.functions import function_config
from stepwell_orchestrator.errors import ApiError

router = APIRouter()


@router.get("/health")
async def health() -> Response:
    """Whether the server answers."""
    return json_response({"status": 200, "message": "OK"})


@router.get("/dev")
async def dev_info(deps: WithDeps, access: WithAccess) -> Response:
    """What SDKs probe to find a dev server; a cloud server does not have it."""
    if access.kind != "dev":
        raise ApiError(404, "this is not a dev server")
    functions = await deps.registry.list_functions()
    apps = await deps.registry.list_apps()
    return json_response(
        {
            "version": version("stepwell"),
            "authed": bool(access.signing_keys),
            "startOpts": {"sdkURLs": [app.url for app in apps], "autodiscover": False, "poll": False},
            "functions": [function_config(function) for function in functions],
            "handlers": [{"app": app.id, "url": app.url, "sdk": app.sdk, "framework": app.framework} for app in apps],
            "isSingleNodeService": True,
            "isMissingSigningKey": not access.signing_keys,
            "isMissingEventKeys": not access.event_keys,
            "features": {},
        }
    )


@router.post("/v0/telemetry")
@router.post("/dev/traces")
@router.post("/v1/traces/userland", dependencies=[Depends(require_bearer)])
async def ignore() -> Response:
    """What dev tools and exporters send is taken and not kept."""
    return json_response({})


@router.post("/v0/connect/start", dependencies=[Depends(require_bearer)])
async def connect_start() -> Response:
    """Connect workers are not served; SDKs take the 200 as the sign that the server is up (protocol 9.7)."""
    return Response(status_code=200)


async def _refuse(request: Request) -> Response:
    message = f"{request.method} {request.url.path} is not offered by this server"
    raise ApiError(501, message, code="not_implemented")


for path in ("/v1/webhooks", "/v1/webhooks/{webhook_id}", "/v1/prom/{env}", "/v1/runs/{run_id}/metadata"):
    router.add_api_route(path, _refuse, methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False)
