"""Runs in REST v2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from stepwell.wire.ids import is_ulid
from stepwell_orchestrator.api.deps import Deps, WithDeps
from stepwell_orchestrator.api.envelope import known_query, query_instant, query_limit, read_object
from stepwell_orchestrator.api.rerun_request import asked_start
from stepwell_orchestrator.api.run_metadata import metadata_of_run
from stepwell_orchestrator.api.v2.catalogue import find_function
from stepwell_orchestrator.api.v2.shapes import page_of, run_object, success, trace_object
from stepwell_orchestrator.api.words import RUN_STATUS_BY_WORD
from stepwell_orchestrator.controlling.control import find_run
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import REQUEST_BYTES_MAX
from stepwell_orchestrator.model.run import RunHeader, RunStatus
from stepwell_orchestrator.ports import RunFilter

router = APIRouter()

_RUNS_DEFAULT: Final = 20
_RUNS_MAX: Final = 100
_EVENT_RUNS_MAX: Final = 40
_LISTED: Final = ("status", "status[]", "from", "until", "order", "timeField", "includeOutput", "cursor", "limit")
"""The query parameters of every list of runs but an event's."""


@router.get("/runs", dependencies=[known_query("appId", "appId[]", "functionId", "functionId[]", *_LISTED)])
async def list_runs(request: Request, deps: WithDeps) -> Response:
    """Runs newest first."""
    apps, functions = _several(request, "appId"), _several(request, "functionId")
    if len(apps) > 1 or len(functions) > 1:
        raise ApiError(400, "runs are filtered by one appId and one functionId at a time")
    app_id, function_id = next(iter(apps), None), next(iter(functions), None)
    if app_id and function_id:
        function_id = (await find_function(deps, app_id, function_id)).slug
    return await _page(request, deps, app_id, function_id)


@router.get("/apps/{app_id}/functions/{function_id}/runs", dependencies=[known_query(*_LISTED)])
async def runs_of_function(app_id: str, function_id: str, request: Request, deps: WithDeps) -> Response:
    """A function's runs newest first."""
    return await _page(request, deps, app_id, (await find_function(deps, app_id, function_id)).slug)


@router.get("/events/{internal_id}/runs", dependencies=[known_query("includeOutput", "cursor", "limit")])
async def runs_of_event(internal_id: str, request: Request, deps: WithDeps) -> Response:
    """The runs an event started, newest first."""
    if not is_ulid(internal_id):
        raise ApiError(400, f"Invalid event ID: {internal_id[:100]}")
    limit, cursor = query_limit(request, default=_RUNS_DEFAULT, most=_EVENT_RUNS_MAX), _cursor(request)
    headers = sorted(await deps.journal.runs_of_event(internal_id), key=lambda header: header.run_id, reverse=True)
    later = [header for header in headers if cursor is None or header.run_id < cursor]
    return await _answer(request, deps, later, limit)


@router.get("/runs/{run_id}")
async def get_run(run_id: str, deps: WithDeps) -> Response:
    """One run, with its output."""
    [body] = await _objects(deps, [await find_run(deps.journal, run_id)], with_output=True)
    return success(body, deps.clock.now_ms())


@router.get("/runs/{run_id}/trace")
async def get_trace(run_id: str, deps: WithDeps) -> Response:
    """A run's steps as spans."""
    await find_run(deps.journal, run_id)
    run = await deps.journal.load(run_id)
    assert run is not None, f"run {run_id} has a header but cannot be loaded"
    return success(trace_object(run, await metadata_of_run(run.header, deps)), deps.clock.now_ms())


@router.post("/runs/{run_id}/rerun")
async def rerun(run_id: str, request: Request, deps: WithDeps) -> Response:
    """Run a run again, from its start or from a step."""
    asked = asked_start(await read_object(request, REQUEST_BYTES_MAX, empty={}))
    return success({"runId": await deps.control.rerun(run_id, asked)}, deps.clock.now_ms())


@router.post("/runs/{run_id}/cancel")
async def cancel(run_id: str, deps: WithDeps) -> Response:
    """Cancel a run; one that has ended is a conflict."""
    header = await find_run(deps.journal, run_id)
    if header.outcome is None:
        await deps.control.cancel(run_id)
        return success({"runId": run_id}, deps.clock.now_ms())
    if header.status is RunStatus.CANCELLED:
        raise ApiError(409, f"run {run_id} was cancelled before", code="run_already_cancelled")
    raise ApiError(409, f"run {run_id} has ended: it is {header.status.value}", code="run_already_ended")


async def _page(request: Request, deps: Deps, app_id: str | None, function_id: str | None) -> Response:
    _check_order(request)
    wanted = RunFilter(
        function_id=function_id,
        app_id=app_id,
        statuses=_statuses(_several(request, "status")),
        from_ms=query_instant(request, "from"),
        until_ms=query_instant(request, "until"),
    )
    limit = query_limit(request, default=_RUNS_DEFAULT, most=_RUNS_MAX)
    return await _answer(
        request, deps, await deps.journal.list_runs(wanted, cursor=_cursor(request), limit=limit + 1), limit
    )


async def _answer(request: Request, deps: Deps, headers: Sequence[RunHeader], limit: int) -> Response:
    shown, page = page_of(headers, limit)
    with_output = request.query_params.get("includeOutput", "").lower() in ("1", "true")
    return success(await _objects(deps, shown, with_output=with_output), deps.clock.now_ms(), page=page)


async def _objects(deps: Deps, headers: Sequence[RunHeader], *, with_output: bool) -> list[dict[str, Any]]:
    functions = {
        slug: await deps.registry.get_function(slug) for slug in sorted({header.function_id for header in headers})
    }
    return [run_object(header, functions[header.function_id], with_output=with_output) for header in headers]


def _several(request: Request, name: str) -> list[str]:
    """A parameter that may be repeated, with or without brackets, or be separated by commas."""
    query = request.query_params
    texts = [*query.getlist(name), *query.getlist(f"{name}[]")]
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def _statuses(words: Sequence[str]) -> tuple[RunStatus, ...]:
    unknown = [word for word in words if word.upper() not in RUN_STATUS_BY_WORD]
    if unknown:
        known = ", ".join(RUN_STATUS_BY_WORD)
        raise ApiError(400, f"there is no run status {unknown[0][:40]!r}; it is one of {known}")
    return tuple(dict.fromkeys(RUN_STATUS_BY_WORD[word.upper()] for word in words))


def _check_order(request: Request) -> None:
    """Runs lie in the order of their creation, newest first; asking for that is fine."""
    for name, known in (("order", "desc"), ("timeField", "queuedat")):
        text = request.query_params.get(name, known)
        if text.lower().replace("_", "") != known:
            raise ApiError(400, f"{name}={text[:40]} is not offered; runs are listed by queuedAt, desc")


def _cursor(request: Request) -> str | None:
    cursor = request.query_params.get("cursor") or None
    if cursor is not None and not is_ulid(cursor):
        raise ApiError(400, f"cursor must be a run id, got {cursor[:100]!r}")
    return cursor
