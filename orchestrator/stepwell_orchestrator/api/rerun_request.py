"""What several APIs are asked in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell_orchestrator.controlling.rerun_start import AskedStart
from stepwell_orchestrator.errors import ApiError


def asked_start(body: Mapping[str, Any]) -> AskedStart | None:
    """Where a rerun is to begin: ``fromStep: {stepId, input?: [...]}``, also in snake case; None for its start.

    Raises ApiError 400.
    """
    raw = body.get("fromStep", body.get("from_step"))
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise ApiError(400, 'fromStep must be an object, like {"stepId": "charge", "input": [7]}')
    step, arguments = raw.get("stepId", raw.get("step_id", raw.get("stepID"))), raw.get("input")
    if not isinstance(step, str) or not step:
        raise ApiError(400, "fromStep.stepId must name a step, by its id in the code or by its hash")
    if arguments is not None and not isinstance(arguments, list):
        raise ApiError(400, "fromStep.input must be a list: the arguments of the step")
    return AskedStart(step, None if arguments is None else tuple(arguments))
