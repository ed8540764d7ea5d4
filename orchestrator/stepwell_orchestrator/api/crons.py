"""Schedules: which functions the clock starts, and when next."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends, Request, Response

from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import WithDeps
from stepwell_orchestrator.api.envelope import query_limit, success
from stepwell_orchestrator.views.schedule_view import schedule_rows

router = APIRouter(dependencies=[Depends(require_bearer)])

_TICKS_DEFAULT: Final = 3
_TICKS_MAX: Final = 100


@router.get("/v1/crons")
async def crons(request: Request, deps: WithDeps) -> Response:
    """Every schedule, or those of ``function_id`` or ``app_id``, each with its next ``limit`` ticks."""
    count = query_limit(request, default=_TICKS_DEFAULT, most=_TICKS_MAX)
    now_ms, wanted = deps.clock.now_ms(), request.query_params.get("function_id")
    functions = await deps.registry.list_functions(request.query_params.get("app_id"))
    rows = [
        row
        for function in functions
        if wanted in (None, function.slug)
        for row in schedule_rows(function, now_ms, count)
    ]
    return success(rows, now_ms)
