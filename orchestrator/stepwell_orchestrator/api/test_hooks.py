"""What tests may do to a dev server: change the limits of one function (protocol 7.1)."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response

from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import Access, Deps, WithAccess, WithDeps
from stepwell_orchestrator.api.envelope import json_response, read_body
from stepwell_orchestrator.errors import ApiError

router = APIRouter(dependencies=[Depends(require_bearer)])

_FORM_BYTES_MAX: Final = 16 * 1024
_LIMIT_DIGITS_MAX: Final = 12


@router.post("/fn/step-limit")
@router.delete("/fn/step-limit")
async def step_limit(request: Request, deps: WithDeps, access: WithAccess) -> Response:
    """How many steps a run of a function may have; DELETE takes the change back."""
    return await _change(request, deps, access, "steps_per_run")


@router.post("/fn/state-size-limit")
@router.delete("/fn/state-size-limit")
async def state_size_limit(request: Request, deps: WithDeps, access: WithAccess) -> Response:
    """How many bytes the state of a function's runs may have; DELETE takes the change back."""
    return await _change(request, deps, access, "run_bytes")


async def _change(request: Request, deps: Deps, access: Access, name: str) -> Response:
    if access.kind != "dev" or deps.changed_limits is None:
        raise ApiError(404, "this is not a dev server")
    values = {**request.query_params, **dict(parse_qsl((await read_body(request, _FORM_BYTES_MAX)).decode("latin-1")))}
    function_id, limit = values.get("functionId", ""), None
    if await deps.registry.get_function(function_id) is None:
        raise ApiError(404, f"functionId: there is no function {function_id[:100]!r}; sync its app first")
    if request.method == "POST":
        limit = _whole(values.get("limit", ""))
    deps.changed_limits.change(function_id, name, limit)
    return json_response({"status": 200})


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LIMIT_DIGITS_MAX and int(text)):
        raise ApiError(400, f"limit must be a whole number from 1 on, got {text[:40]!r}")
    return int(text)
