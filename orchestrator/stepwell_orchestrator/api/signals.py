"""Signals, and the cancellation of many runs at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from stepwell.errors import DefinitionError, WireError
from stepwell.wire.times import format_instant, parse_instant_ms
from stepwell_orchestrator.api.auth import require_bearer
from stepwell_orchestrator.api.deps import WithDeps
from stepwell_orchestrator.api.envelope import known_query, read_object, success
from stepwell_orchestrator.controlling.control import Criteria
from stepwell_orchestrator.engine.runs.route import TRIGGER_VARIABLES
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.expr.compile import compile_expression
from stepwell_orchestrator.limits import SIGNAL_BYTES_MAX, SIGNAL_NAME_CHARS_MAX

router = APIRouter(dependencies=[Depends(require_bearer)])


@router.post("/v1/signals")
async def send_signal(request: Request, deps: WithDeps) -> Response:
    """Resume the one run that waits for a signal; 404 when none does (protocol 6.9)."""
    body = await read_object(request, SIGNAL_BYTES_MAX)
    signal = body.get("signal")
    if not isinstance(signal, str) or not 0 < len(signal) <= SIGNAL_NAME_CHARS_MAX:
        raise ApiError(400, f"signal must be a text of 1 to {SIGNAL_NAME_CHARS_MAX} characters")
    run_id = await deps.control.signal(signal, body.get("data"))
    if run_id is None:
        raise ApiError(404, "No signal found")
    return success({"run_id": run_id}, deps.clock.now_ms())


@router.post("/v1/cancellations")
async def cancel_many(request: Request, deps: WithDeps) -> Response:
    """Cancel the runs of a function that were created in a window and whose event an expression accepts (7.2)."""
    criteria = _criteria(await read_object(request, SIGNAL_BYTES_MAX), deps.clock.now_ms())
    cancellation_id = await deps.control.cancel_matching(criteria)
    body = {
        "id": cancellation_id,
        "app_id": criteria.app_id,
        "function_id": criteria.function_id,
        "started_after": None if criteria.from_ms is None else format_instant(criteria.from_ms),
        "started_before": format_instant(criteria.until_ms),
        "if": criteria.expression,
    }
    return success(body, deps.clock.now_ms())


@router.get("/v1/cancellations", dependencies=[known_query()])
async def list_cancellations(deps: WithDeps) -> Response:
    """The cancellations in force: none, since each is carried out at once and concerns the past."""
    return success([], deps.clock.now_ms())


@router.delete("/v1/cancellations/{cancellation_id}")
async def delete_cancellation(cancellation_id: str) -> Response:
    """There is nothing to take back."""
    message = f"cancellation {cancellation_id[:100]} is not in force; one is carried out at once and not kept"
    raise ApiError(404, message)


def _criteria(body: Mapping[str, Any], now_ms: int) -> Criteria:
    missing = [name for name in ("app_id", "function_id", "started_before") if not body.get(name)]
    if missing:
        raise ApiError(400, "\n".join(f"{name} is required" for name in missing))
    until_ms, from_ms = _instant(body, "started_before"), _instant(body, "started_after")
    assert until_ms is not None, "checked to be there"
    if until_ms > now_ms:
        raise ApiError(400, "started_before must be in the past")
    if from_ms is not None and from_ms >= until_ms:
        raise ApiError(400, "started_after must be before started_before")
    return Criteria(_text(body, "app_id"), _text(body, "function_id"), from_ms, until_ms, _expression(body))


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body[name]
    if not isinstance(value, str):
        raise ApiError(400, f"{name} must be a text")
    return value


def _instant(body: Mapping[str, Any], name: str) -> int | None:
    if not body.get(name):
        return None
    try:
        return parse_instant_ms(str(body[name]))
    except WireError as error:
        raise ApiError(400, f"{name}: {error}") from error


def _expression(body: Mapping[str, Any]) -> str | None:
    if not body.get("if"):
        return None
    expression = _text(body, "if")
    try:
        compile_expression(expression, variables=TRIGGER_VARIABLES)
    except DefinitionError as error:
        raise ApiError(400, f"if: {error}") from error
    return expression
