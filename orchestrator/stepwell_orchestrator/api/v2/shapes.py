"""The shapes of REST v2: envelopes, errors, runs, spans, apps and functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Response

from stepwell.wire.times import format_instant
from stepwell_orchestrator.api.envelope import json_response
from stepwell_orchestrator.api.functions import function_config
from stepwell_orchestrator.api.words import RUN_WORDS, op_word, span_word
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.metadata import Metadata
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.views.run_metadata import span_metadata
from stepwell_orchestrator.views.run_view import instant_text, step_result, steps_in_order

SHOWN_PREFIX: Final = "/v2"
PREFIXES: Final = ("/api/v2", SHOWN_PREFIX)

_CODES: Final = frozenset(
    {
        "function_debounced",
        "idempotency_conflict",
        "run_already_cancelled",
        "run_already_ended",
        "validation_error",
        "not_implemented",
    }
)
_CODE_BY_STATUS: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "invalid_signing_key",
    403: "access_denied",
    404: "not_found",
    409: "resource_already_exists",
    413: "validation_error",
    500: "internal_error",
    501: "not_implemented",
}

Object = dict[str, Any]


def success(data: Any, now_ms: int, **members: Any) -> Response:
    """The success envelope; ``members`` go beside ``data``."""
    metadata = {"fetchedAt": format_instant(now_ms), "cachedUntil": None}
    return json_response({"data": data, "metadata": metadata, **members})


def failure(error: ApiError) -> Response:
    """The error envelope, with the error's own status."""
    code = error.code if error.code in _CODES else _CODE_BY_STATUS.get(error.status, "invalid_request")
    return json_response({"errors": [{"code": code, "message": error.message}]}, error.status)


def page_of(headers: Sequence[RunHeader], limit: int) -> tuple[Sequence[RunHeader], Object]:
    """A page of runs, and its position, from one more than a page."""
    shown, more = headers[:limit], len(headers) > limit
    return shown, {"cursor": shown[-1].run_id if more else None, "hasMore": more, "limit": limit}


def run_object(header: RunHeader, function: Function | None, *, with_output: bool) -> Object:
    """A run."""
    outcome = header.outcome
    body: Object = {
        "id": header.run_id,
        "status": RUN_WORDS[header.status],
        "queuedAt": format_instant(header.created_at_ms),
        "startedAt": instant_text(header.started_at_ms),
        "endedAt": None if outcome is None else format_instant(outcome.ended_at_ms),
        "durationMs": _duration(header.started_at_ms, None if outcome is None else outcome.ended_at_ms),
        "app": {"id": header.app_id},
        "function": {"id": header.function_id, "name": header.function_id if function is None else function.name},
        "trigger": {
            "eventIds": list(header.event_ids),
            "eventName": header.event_name,
            "isBatch": len(header.event_ids) > 1,
            "batchId": None,
            "cronSchedule": header.cron,
        },
        "originalRunId": header.original_run_id,
    }
    return {**body, "output": None if outcome is None else outcome.output} if with_output else body


def trace_object(run: Run, metadata: Sequence[Metadata]) -> Object:
    """A run as a tree of spans."""
    header, outcome = run.header, run.header.outcome
    ended_at_ms = None if outcome is None else outcome.ended_at_ms
    root = {
        "id": "run",
        "name": header.function_id,
        "status": RUN_WORDS[header.status],
        "stepId": None,
        "stepOp": None,
        **_times(header.created_at_ms, header.started_at_ms, ended_at_ms),
        "output": None if outcome is None else outcome.output,
        "metadata": span_metadata(metadata, None),
        "children": [
            {**_span(entry, over=outcome is not None), "metadata": span_metadata(metadata, entry.step_id)}
            for entry in steps_in_order(run)
        ],
    }
    return {"runId": header.run_id, "rootSpan": root}


def app_object(app: App) -> Object:
    """An app."""
    return {
        "id": app.id,
        "url": app.url,
        "sdk": app.sdk,
        "framework": app.framework,
        "syncedAt": format_instant(app.synced_at_ms),
    }


def function_object(function: Function) -> Object:
    """A function."""
    config = function_config(function)
    return {
        "id": function.slug,
        "name": function.name,
        "app": {"id": function.app_id},
        "triggers": config["triggers"],
        "configuration": {**function.options, "retries": function.retries},
        "isPaused": False,
        "isArchived": False,
    }


def _span(entry: StepEntry, *, over: bool) -> Object:
    output, error = step_result(entry)
    return {
        "id": entry.step_id,
        "name": entry.name,
        "status": span_word(entry, over=over),
        "stepId": entry.step_id,
        "stepOp": op_word(entry),
        **_times(entry.queued_at_ms, entry.started_at_ms, entry.ended_at_ms),
        "output": output if error is None else {"error": error},
        "children": [],
    }


def _times(queued_at_ms: int, started_at_ms: int | None, ended_at_ms: int | None) -> Object:
    return {
        "queuedAt": format_instant(queued_at_ms),
        "startedAt": instant_text(started_at_ms),
        "endedAt": instant_text(ended_at_ms),
        "durationMs": _duration(started_at_ms, ended_at_ms),
    }


def _duration(started_at_ms: int | None, ended_at_ms: int | None) -> str | None:
    """A 64-bit number, which this API writes as text."""
    return None if started_at_ms is None or ended_at_ms is None else str(ended_at_ms - started_at_ms)
