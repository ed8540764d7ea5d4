"""Health and events in, and everything of REST v2 under its prefixes."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from stepwell.errors import EventError
from stepwell.wire.headers import EVENT_ID_SEED
from stepwell.wire.ids import decode_seed
from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import WithDeps
from stepwell_orchestrator.api.envelope import read_object
from stepwell_orchestrator.api.functions import INVOCATION_BYTES_MAX
from stepwell_orchestrator.api.v2 import catalogue, runs
from stepwell_orchestrator.api.v2.shapes import PREFIXES, SHOWN_PREFIX, success
from stepwell_orchestrator.errors import ApiError

router = APIRouter()
_open = APIRouter()
_keyed = APIRouter(dependencies=[Depends(require_bearer)])


@_open.get("/health")
async def health(deps: WithDeps) -> Response:
    """Whether the server answers."""
    return success({"status": "ok"}, deps.clock.now_ms())


@_keyed.post("/events")
async def send_event(request: Request, deps: WithDeps) -> Response:
    """Take one event in."""
    body = await read_object(request, INVOCATION_BYTES_MAX)
    try:
        [event_id] = await deps.ingest.accept_events([body], decode_seed(request.headers.get(EVENT_ID_SEED)))
    except EventError as error:
        raise ApiError(400, str(error), code="validation_error") from error
    return success({"eventId": event_id}, deps.clock.now_ms())


_keyed.include_router(runs.router)
_keyed.include_router(catalogue.router)
for prefix in PREFIXES:
    shown = prefix == SHOWN_PREFIX
    router.include_router(_open, prefix=prefix, include_in_schema=shown)
    router.include_router(_keyed, prefix=prefix, include_in_schema=shown)
