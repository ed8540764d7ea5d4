"""Events: taking them in, and looking at them."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from stepwell.errors import EventError
from stepwell.wire.headers import EVENT_ID_SEED
from stepwell.wire.ids import decode_seed, is_ulid
from stepwell.wire.times import HOUR_MS
from stepwell_orchestrator.accepting.ingest import Ingest, parse
from stepwell_orchestrator.api.auth import check_event_key, require_bearer
from stepwell_orchestrator.api.deps import WithAccess, WithDeps
from stepwell_orchestrator.api.envelope import (
    json_response,
    known_query,
    query_instant,
    query_limit,
    read_body,
    success,
)
from stepwell_orchestrator.api.ingest.forms import form_event, form_fields, is_form
from stepwell_orchestrator.api.ingest.webhooks import form_body, read_webhook
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import INGEST_BYTES_MAX
from stepwell_orchestrator.ports import EventFilter
from stepwell_orchestrator.views.run_view import event_body, run_body
from stepwell_orchestrator.views.waiting_view import event_wait_body

router = APIRouter()
_queries = APIRouter(dependencies=[Depends(require_bearer)])

_EVENTS_DEFAULT = 20
_EVENTS_MAX = 100


@router.post("/e")
@router.post("/e/")
async def refuse_keyless() -> Response:
    """Ingest without a key."""
    return json_response({"status": 401, "message": "", "error": "Event key is required"}, 401)


@router.post("/e/{key:path}")
async def ingest(key: str, request: Request, deps: WithDeps, access: WithAccess) -> Response:
    """Take events in, whatever the content type says (protocol 3.1, 3.3). A key may hold anything, slashes too."""
    try:
        check_event_key(key, access)
    except ApiError as error:
        return json_response({"status": error.status, "message": "", "error": error.message}, error.status)
    try:
        ids = await _accept(request, deps.ingest)
    except EventError as error:
        return json_response({"ids": list(error.ids), "status": 400, "error": str(error)}, 400)
    except ApiError as error:
        return json_response({"ids": [], "status": error.status, "error": error.message}, error.status)
    return json_response({"ids": ids, "status": 200})


async def _accept(request: Request, ingest: Ingest) -> list[str]:
    webhook = read_webhook(request.query_params.multi_items())
    body = await read_body(request, INGEST_BYTES_MAX)
    seed = decode_seed(request.headers.get(EVENT_ID_SEED))
    content_type = request.headers.get("content-type", "")
    form = form_fields(content_type, body) if body.strip() and is_form(content_type, body) else None
    if webhook is not None:
        sent = form_body(form) if form is not None else parse(body) if body.strip() else {}
        return await ingest.accept_events(webhook.events(sent, request.headers), seed)
    if form is not None:
        return await ingest.accept_events([form_event(form)], seed)
    return await ingest.accept(body, seed)


@_queries.get(
    "/v1/events",
    dependencies=[known_query("name", "received_after", "received_before", "include_internal", "cursor", "limit")],
)
async def list_events(request: Request, deps: WithDeps) -> Response:
    """Events of the last hour, or of the time asked for, newest first."""
    query = request.query_params
    after_ms = query_instant(request, "received_after")
    wanted = EventFilter(
        name=query.get("name") or None,
        after_ms=deps.clock.now_ms() - HOUR_MS if after_ms is None else after_ms,
        before_ms=query_instant(request, "received_before"),
        include_internal=query.get("include_internal", "").lower() in ("1", "true"),
    )
    cursor = query.get("cursor") or None
    if cursor is not None:
        _check_id(cursor)
    limit = query_limit(request, default=_EVENTS_DEFAULT, most=_EVENTS_MAX)
    events = await deps.journal.list_events(wanted, cursor=cursor, limit=limit)
    return success([event_body(event) for event in events], deps.clock.now_ms())


@_queries.get("/v1/events/{internal_id}")
async def get_event(internal_id: str, deps: WithDeps) -> Response:
    """One event, and the debounces and batches that it waits in."""
    _check_id(internal_id)
    event = await deps.journal.get_event(internal_id)
    if event is None:
        raise ApiError(404, "Event not found")
    waits = [] if deps.waits_of_events is None else await deps.waits_of_events.of(event)
    body = {**event_body(event), "waiting_for": [event_wait_body(wait) for wait in waits]}
    return success(body, deps.clock.now_ms())


@_queries.get("/v1/events/{internal_id}/runs", dependencies=[known_query()])
async def runs_of_event(internal_id: str, deps: WithDeps) -> Response:
    """The runs an event started; ``routed``: it has been offered to every function, so no more will come.

    ``routed`` is null where nobody can tell.
    """
    _check_id(internal_id)
    # Looked at before the runs: its item is done once the last of them exists.
    item_id = items.route(internal_id, 0).item.id
    routed = None if deps.queued is None else not await deps.queued.holds(item_id)
    headers = await deps.journal.runs_of_event(internal_id)
    return success([run_body(header) for header in headers], deps.clock.now_ms(), routed=routed)


def _check_id(internal_id: str) -> None:
    if not is_ulid(internal_id):
        raise ApiError(400, f"Invalid event ID: {internal_id[:100]}")


router.include_router(_queries)
