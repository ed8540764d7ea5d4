"""Which functions an event starts (protocol 3.6), and the runs that makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stepwell.wire.ids import derived_ulid
from stepwell.wire.registration import Trigger
from stepwell_orchestrator.engine.waits.waiting import INVOKED_EVENT
from stepwell_orchestrator.limits import TS_TOLERANCE_MS
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.run import Invoker, Progress, RunHeader
from stepwell_orchestrator.model.schedule import SCHEDULED_EVENT

TRIGGER_VARIABLES: Final = frozenset({"event"})


def patterns(event_name: str) -> tuple[str, ...]:
    """The trigger names an event name answers to: itself, ``a/*`` for each slash and ``a/b.*`` for each dot."""
    tails = [event_name[: at + 1] + "*" for at, character in enumerate(event_name) if character in "/."]
    return (event_name, *tails)


def route(event: Event, functions: Iterable[Function], now_ms: int) -> list[RunHeader]:
    """The runs an event starts: at most one a function, with an id derived from both, so that routing twice is once."""
    names = frozenset(patterns(event.name))
    return [new_run(event, function) for function in functions if _triggered(event, function, names, now_ms)]


def new_run(event: Event, function: Function, invoked_by: Invoker | None = None) -> RunHeader:
    """The header of the run ``function`` gets for ``event``."""
    return RunHeader(
        run_id=run_id_of(event, function.slug),
        app_id=function.app_id,
        function_id=function.slug,
        event_name=event.name,
        event_ids=(event.internal_id,),
        created_at_ms=event.received_at_ms,
        invoked_by=invoked_by,
        cron=event.data["cron"] if event.name == SCHEDULED_EVENT else None,
    )


def run_id_of(event: Event, slug: str) -> str:
    """The id of the run that a function gets for an event."""
    return derived_ulid(event.received_at_ms, event.internal_id, slug)


def run_again(original: RunHeader, run_id: str, now_ms: int, *, from_step: bool = False) -> RunHeader:
    """The header of a rerun: the same function, the same events.

    One that keeps steps speaks the request version they were stored under (protocol 4.2).
    """
    progress = Progress(request_version=original.progress.request_version) if from_step else Progress()
    return RunHeader(
        run_id=run_id,
        app_id=original.app_id,
        function_id=original.function_id,
        event_name=original.event_name,
        event_ids=original.event_ids,
        created_at_ms=now_ms,
        progress=progress,
        original_run_id=original.run_id,
        cron=original.cron,
    )


def invoked(event: Event) -> tuple[str, Invoker | None] | None:
    """Which function an invocation starts, and for which step of which run (protocol 3.7).

    Returns None for any other event. An invocation from outside is for no step.
    """
    internal = event.data.get("_inngest") if event.name == INVOKED_EVENT else None
    if not isinstance(internal, Mapping):
        return None
    run_id, _, step_id = str(internal.get("correlation_id", "")).partition(".")
    return str(internal.get("fn_id", "")), Invoker(run_id, step_id) if run_id else None


def starts_at_ms(event: Event, now_ms: int) -> int:
    """When the event's runs start: now, or at the event's own time when that lies ahead (protocol 6.1)."""
    return event.ts_ms if event.ts_ms > now_ms + TS_TOLERANCE_MS else now_ms


def _triggered(event: Event, function: Function, names: frozenset[str], now_ms: int) -> bool:
    return any(
        trigger.event in names and _accepts(trigger, event, now_ms)
        for trigger in function.triggers
        if trigger.event is not None
    )


def _accepts(trigger: Trigger, event: Event, now_ms: int) -> bool:
    if trigger.expression is None:
        return True
    from stepwell_orchestrator.expr.compile import compile_expression  # only expressions pay for the parser's import

    expression = compile_expression(trigger.expression, variables=TRIGGER_VARIABLES)
    return expression.matches({"event": event.wire()}, now_ms)
