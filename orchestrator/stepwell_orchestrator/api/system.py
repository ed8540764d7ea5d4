"""The server itself: health, dev info, and what SDKs ask before they talk."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, Depends, Request, Response

from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import WithAccess, WithDeps
from stepwell_orchestrator.api.envelope import json_response, read_body
from stepwell_orchestrator.api.functions import function_config
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import MEBIBYTE

router = APIRouter()

_CONNECT_BYTES_MAX: Final = MEBIBYTE


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
async def connect_start(request: Request) -> Response:
    """Refuse a connect worker; without a body it is a harness that asks whether the server is up (protocol 9.7)."""
    if await read_body(request, _CONNECT_BYTES_MAX):
        message = (
            "connect is not offered by this server; serve the functions over HTTP, and start the server with the URL"
        )
        raise ApiError(501, message, code="not_implemented")
    return Response(status_code=200)
