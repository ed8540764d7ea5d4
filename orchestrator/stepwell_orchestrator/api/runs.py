"""Runs: looking at them, cancelling them, running them again."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response

from stepwell.wire.ids import is_ulid
from stepwell.wire.times import format_instant
from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import Deps, WithDeps
from stepwell_orchestrator.api.envelope import (
    json_response,
    known_query,
    query_instant,
    query_limit,
    read_object,
    success,
)
from stepwell_orchestrator.api.rerun_request import asked_start
from stepwell_orchestrator.controlling.control import find_run
from stepwell_orchestrator.controlling.reasons import Reasons, halt_of
from stepwell_orchestrator.engine.calls.request import steps_of
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import REQUEST_BYTES_MAX
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.model.run import Run, RunStatus
from stepwell_orchestrator.ports import RunFilter
from stepwell_orchestrator.views.journal_export import journal_body
from stepwell_orchestrator.views.run_view import RUN_STATUS_NAMES, run_body, trace_rows
from stepwell_orchestrator.views.waiting_view import waiting_body
from stepwell_orchestrator.views.why_view import halt_body, reason_body

router = APIRouter(dependencies=[Depends(require_bearer)])

_RUNS_DEFAULT: Final = 20
_RUNS_MAX: Final = 100
_STATUS_BY_NAME: Final = {name.lower(): status for status, name in RUN_STATUS_NAMES.items()} | {
    status.value: status for status in RunStatus
}


@router.get(
    "/v1/runs", dependencies=[known_query("function_id", "app_id", "status", "from", "until", "cursor", "limit")]
)
async def list_runs(request: Request, deps: WithDeps) -> Response:
    """Runs newest first; ``page.cursor`` goes on where this page ends."""
    query = request.query_params
    wanted = RunFilter(
        function_id=query.get("function_id") or None,
        app_id=query.get("app_id") or None,
        statuses=_statuses(query.getlist("status")),
        from_ms=query_instant(request, "from"),
        until_ms=query_instant(request, "until"),
    )
    cursor = query.get("cursor") or None
    if cursor is not None and not is_ulid(cursor):
        raise ApiError(400, f"cursor must be a run id, got {cursor[:100]!r}")
    limit = query_limit(request, default=_RUNS_DEFAULT, most=_RUNS_MAX)
    headers = await deps.journal.list_runs(wanted, cursor=cursor, limit=limit + 1)
    page = headers[:limit]
    more = len(headers) > limit
    position = {"cursor": page[-1].run_id if more else None, "has_more": more, "limit": limit}
    return success([run_body(header) for header in page], deps.clock.now_ms(), page=position)


@router.get("/v1/runs/{run_id}")
async def get_run(run_id: str, deps: WithDeps) -> Response:
    """One run, and what limit or halt holds it back."""
    header = await find_run(deps.journal, run_id)
    waiting = None if deps.waits_of_runs is None else await deps.waits_of_runs.of(header)
    closed = None if header.outcome is not None else halt_of(header, await deps.registry.halts_now())
    held = {"waiting_for": waiting_body(waiting), "halt": None if closed is None else halt_body(*closed)}
    return success({**run_body(header), **held}, deps.clock.now_ms())


@router.get("/v1/runs/{run_id}/why", dependencies=[known_query()])
async def why(run_id: str, deps: WithDeps) -> Response:
    """Everything that is known to hold a run back, in words too."""
    header = await find_run(deps.journal, run_id)
    if deps.waits_of_runs is None:
        raise ApiError(501, "this server does not know what runs wait for", code="not_implemented")
    reasons = await Reasons(deps.waits_of_runs).of(await deps.journal.run_of(header))
    told = {"run_id": run_id, "function_id": header.function_id, "status": RUN_STATUS_NAMES[header.status]}
    return success({**told, "reasons": [reason_body(reason) for reason in reasons]}, deps.clock.now_ms())


@router.get("/v1/runs/{run_id}/trace")
async def get_trace(run_id: str, deps: WithDeps) -> Response:
    """The steps of a run in order."""
    await find_run(deps.journal, run_id)
    run = await deps.journal.load(run_id)
    return success(trace_rows(run) if run else [], deps.clock.now_ms())


@router.get("/v1/runs/{run_id}/journal")
async def get_journal(run_id: str, deps: WithDeps) -> Response:
    """A run's journal as one document, for replaying the run elsewhere."""
    await find_run(deps.journal, run_id)
    now_ms = deps.clock.now_ms()
    return success(journal_body(await _load(run_id, deps), now_ms), now_ms)


@router.get("/v1/runs/{run_id}/jobs", dependencies=[known_query()])
async def queued_items(run_id: str, deps: WithDeps) -> Response:
    """What is queued for a run."""
    await find_run(deps.journal, run_id)
    if deps.queued is None:
        message = (
            f"this server's queue cannot be looked into; GET /v1/runs/{run_id}/trace shows what its steps wait for"
        )
        raise ApiError(501, message, code="queue_not_readable")
    items = await deps.queued.items_of_run(run_id)
    return success([_item_body(position, item) for position, item in enumerate(items)], deps.clock.now_ms())


@router.delete("/v1/runs/{run_id}")
async def cancel_run(run_id: str, deps: WithDeps) -> Response:
    """Cancel a run; one that has ended stays as it is."""
    await deps.control.cancel(run_id)
    return Response(status_code=200)


@router.delete("/v0/runs/{run_id}")
async def cancel_run_v0(run_id: str, deps: WithDeps) -> Response:
    """Cancel a run, as the first API answers it."""
    await deps.control.cancel(run_id)
    return Response(status_code=204)


@router.post("/v1/runs/{run_id}/rerun")
async def rerun(run_id: str, request: Request, deps: WithDeps) -> Response:
    """Run a run's function again on the same events, from its start or from a step."""
    asked = asked_start(await read_object(request, REQUEST_BYTES_MAX, empty={}))
    return success({"run_id": await deps.control.rerun(run_id, asked)}, deps.clock.now_ms())


@router.get("/v0/runs/{run_id}/actions")
async def actions(run_id: str, deps: WithDeps) -> Response:
    """The finished steps of a run whose call request was too large to carry them (protocol 4.4)."""
    return json_response(steps_of(await _load(run_id, deps)))


@router.get("/v0/runs/{run_id}/batch")
async def batch(run_id: str, deps: WithDeps) -> Response:
    """The trigger events of such a run."""
    return json_response([event.wire() for event in (await _load(run_id, deps)).events])


async def _load(run_id: str, deps: Deps) -> Run:
    if not is_ulid(run_id):
        raise ApiError(400, f"Invalid run ID: {run_id[:100]}")
    run = await deps.journal.load(run_id)
    if run is None:
        raise ApiError(410, f"runtime state is no longer available for runID: {run_id}")
    return run


def _statuses(texts: list[str]) -> tuple[RunStatus, ...]:
    names = [name.strip().lower() for text in texts for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in _STATUS_BY_NAME]
    if unknown:
        known = ", ".join(RUN_STATUS_NAMES.values())
        raise ApiError(400, f"there is no run status {unknown[0][:40]!r}; it is one of {known}")
    return tuple(dict.fromkeys(_STATUS_BY_NAME[name] for name in names))


def _item_body(position: int, item: QueueItem) -> dict[str, Any]:
    return {
        "JobID": item.id,
        "at": format_instant(item.due_at_ms),
        "position": position,
        "kind": type(item.work).__name__.lower(),
        "attempt": getattr(item.work, "attempt", 0),
        "Raw": {"id": item.id, "at": item.due_at_ms},
    }
