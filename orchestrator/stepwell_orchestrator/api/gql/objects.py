"""Model objects as the schema's. A member that costs a read is a function, called only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never

from stepwell.wire.encoding import encode
from stepwell.wire.times import format_instant
from stepwell_orchestrator.api.words import RUN_WORDS, op_word, span_word, step_type
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import App, Function
from stepwell_orchestrator.model.metadata import Metadata
from stepwell_orchestrator.model.run import Run, RunHeader
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.model.step_kind import StepKind, kind_of
from stepwell_orchestrator.views.run_metadata import span_metadata
from stepwell_orchestrator.views.run_view import attempts, instant_text, step_result, steps_in_order

SEPARATOR: Final = "."
"""Between run and step in an output id."""
_ROOT_SPAN: Final = "run"

Object = dict[str, Any]


def text_of(value: Any) -> str:
    """A value as the text of its JSON."""
    return encode(value).decode()


def app_object(app: App) -> Object:
    """An app, without its functions."""
    language, _, version = app.sdk.partition(":")
    return {
        "id": app.id,
        "externalID": app.id,
        "name": app.id,
        "url": app.url,
        "sdkLanguage": language,
        "sdkVersion": version.removeprefix("v"),
        "framework": app.framework or None,
        "checksum": app.checksum,
        "connected": True,
    }


def function_object(function: Function, config: Mapping[str, Any]) -> Object:
    """A function, without its app."""
    return {
        "id": function.slug,
        "slug": function.slug,
        "name": function.name,
        "url": function.url,
        "appID": function.app_id,
        "config": text_of(config),
        "triggers": [
            {"type": "CRON", "value": trigger.cron}
            if trigger.cron
            else {"type": "EVENT", "value": trigger.event, "condition": trigger.expression}
            for trigger in function.triggers
        ],
    }


def event_object(event: Event) -> Object:
    """An event, without its runs, under the names of both of the schema's kinds of event."""
    raw = text_of(event.wire())
    received_at = format_instant(event.received_at_ms)
    return {
        "id": event.internal_id,
        "externalID": event.id if event.has_own_id else None,
        "idempotencyKey": event.id,
        "name": event.name,
        "createdAt": received_at,
        "receivedAt": received_at,
        "occurredAt": format_instant(event.ts_ms),
        "payload": text_of(event.data),
        "raw": raw,
    }


def run_object(header: RunHeader) -> Object:
    """A run, without its function and its trace, under the names of both of the schema's kinds of run."""
    outcome = header.outcome
    ended_at = None if outcome is None else format_instant(outcome.ended_at_ms)
    return {
        "id": header.run_id,
        "appID": header.app_id,
        "functionID": header.function_id,
        "eventID": header.event_ids[0] if header.event_ids else None,
        "eventName": header.event_name,
        "triggerIDs": list(header.event_ids),
        "isBatch": len(header.event_ids) > 1,
        "status": RUN_WORDS[header.status],
        "queuedAt": format_instant(header.created_at_ms),
        "startedAt": instant_text(header.started_at_ms),
        "endedAt": ended_at,
        "finishedAt": ended_at,
        "output": None if outcome is None or outcome.output is None else text_of(outcome.output),
    }


def trigger_object(run: Run) -> Object:
    """What started a run."""
    header = run.header
    return {
        "IDs": list(header.event_ids),
        "eventName": header.event_name,
        "payloads": [text_of(event.wire()) for event in run.events],
        "timestamp": format_instant(header.created_at_ms),
        "isBatch": len(header.event_ids) > 1,
    }


def trace_object(run: Run, metadata: Sequence[Metadata] = ()) -> Object:
    """A run as a span, with a child for every step, in order (protocol 6.14)."""
    header, outcome = run.header, run.header.outcome
    ended_at_ms = None if outcome is None else outcome.ended_at_ms
    return {
        **_span(header, _ROOT_SPAN, header.created_at_ms, header.started_at_ms, ended_at_ms),
        "isRoot": True,
        "name": header.function_id,
        "status": RUN_WORDS[header.status],
        "attempts": header.progress.attempt + 1,
        "outputID": None if outcome is None else header.run_id,
        "metadata": span_metadata(metadata, None),
        "childrenSpans": [
            {**_step_span(header, entry), "metadata": span_metadata(metadata, entry.step_id)}
            for entry in steps_in_order(run)
        ],
    }


def run_output(header: RunHeader) -> Object | None:
    """Returns how a run ended, or None while it goes on."""
    outcome = header.outcome
    if outcome is None:
        return None
    return _output(outcome.output if outcome.error is None else None, outcome.error)


def step_output(entry: StepEntry) -> Object | None:
    """Returns how a step ended, or None while it goes on."""
    return _output(*step_result(entry)) if entry.memoised else None


def _output(value: Any, error: Mapping[str, Any] | None) -> Object:
    shown = None if error is None else {"message": "", **error}
    return {"data": None if error is not None or value is None else text_of(value), "error": shown}


def _step_span(header: RunHeader, entry: StepEntry) -> Object:
    return {
        **_span(header, entry.step_id, entry.queued_at_ms, entry.started_at_ms, entry.ended_at_ms),
        "isRoot": False,
        "parentSpanID": _ROOT_SPAN,
        "name": entry.name,
        "status": span_word(entry, over=header.outcome is not None),
        "attempts": attempts(entry),
        "outputID": f"{header.run_id}{SEPARATOR}{entry.step_id}" if entry.memoised else None,
        "childrenSpans": [],
        "stepOp": op_word(entry),
        "stepID": entry.step_id,
        "stepType": step_type(entry),
        "stepInfo": _step_info(entry),
    }


def _span(
    header: RunHeader, span_id: str, queued_at_ms: int, started_at_ms: int | None, ended_at_ms: int | None
) -> Object:
    ended = started_at_ms is not None and ended_at_ms is not None
    return {
        "appID": header.app_id,
        "functionID": header.function_id,
        "runID": header.run_id,
        "traceID": header.run_id,
        "spanID": span_id,
        "queuedAt": format_instant(queued_at_ms),
        "startedAt": instant_text(started_at_ms),
        "endedAt": instant_text(ended_at_ms),
        "duration": ended_at_ms - started_at_ms if ended and ended_at_ms and started_at_ms else None,
    }


def _step_info(entry: StepEntry) -> Object:
    opts, timed_out = entry.opts, entry.status is StepStatus.TIMED_OUT
    until = instant_text(entry.due_at_ms) or format_instant(entry.queued_at_ms)
    ending = {"timeout": until, "timedOut": timed_out if entry.memoised else None}
    kind = kind_of(entry.op)
    match kind:
        case StepKind.SLEEP:
            return {"__typename": "SleepStepInfo", "sleepUntil": until}
        case StepKind.WAIT_FOR_EVENT:
            found = {"eventName": opts.get("event", ""), "expression": opts.get("if")}
            return {"__typename": "WaitForEventStepInfo", **found, "foundEventID": opts.get("event_id"), **ending}
        case StepKind.INVOKE:
            return {"__typename": "InvokeStepInfo", "functionID": opts.get("function_id", ""), **ending}
        case StepKind.WAIT_FOR_SIGNAL:
            return {"__typename": "WaitForSignalStepInfo", "signal": opts.get("signal", ""), **ending}
        case StepKind.RUN | StepKind.INFER | StepKind.FETCH:
            return {"__typename": "RunStepInfo", "type": step_type(entry)}
        case _:
            assert_never(kind)
