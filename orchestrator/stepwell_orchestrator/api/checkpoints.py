"""Checkpoints: steps that a call has executed, saved while it goes on (protocol 9.1)."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from stepwell.errors import EncodingError, WireError
from stepwell.wire.checkpoint import decode_checkpoint
from stepwell.wire.encoding import decode
from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import Deps, WithDeps
from stepwell_orchestrator.api.envelope import json_response, read_body
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import CHECKPOINT_BYTES_MAX

router = APIRouter(dependencies=[Depends(require_bearer)])


@router.post("/v1/checkpoint/{run_id}/async")
@router.post("/v1/http/runs/{run_id}/async")
async def save_steps(run_id: str, request: Request, deps: WithDeps) -> Response:
    """Save the steps of a call that goes on; SDKs only look at the status."""
    try:
        await _save(run_id, request, deps)
    except ApiError as error:
        code = {} if error.code is None else {"code": error.code}
        body = {**code, "error": error.message, "data": {"run_id": run_id[:100]}, "status": error.status}
        return json_response(body, error.status)
    return Response(status_code=200)


async def _save(run_id: str, request: Request, deps: Deps) -> None:
    body = await read_body(request, CHECKPOINT_BYTES_MAX)
    try:
        checkpoint = decode_checkpoint(decode(body, repair=True), run_id)
    except (WireError, EncodingError) as error:
        raise ApiError(400, str(error)) from error
    await deps.checkpointer.save(checkpoint)
