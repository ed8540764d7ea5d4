"""Events that do not start a run by themselves: which debounce or batch they are offered to, and the run that it makes.

Runs of both have ids that follow from what the store has kept, so that whoever makes one again makes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stepwell.wire.encoding import encode
from stepwell.wire.ids import derived_ulid
from stepwell_orchestrator.engine.flow.gates import named_gate
from stepwell_orchestrator.engine.flow.keys import evaluate_key
from stepwell_orchestrator.engine.runs.route import TRIGGER_VARIABLES, invoked, new_run
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import Batch, BatchEvent, ClosedBatch, Debounce, Debounced, Offer
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.run import Invoker, RunHeader


def debounce_gate(function_id: str, debounce: Debounce, event: Event, now_ms: int) -> str:
    """The gate at which a function debounces an event: one for each value of its key."""
    key = evaluate_key(debounce.key, event, now_ms).text
    return named_gate("debounce", function_id, debounce.key or "", key)


def batch_gate(function_id: str, batch: Batch, event: Event, now_ms: int) -> str:
    """The gate at which a function gathers an event: one for each value of its key."""
    key = evaluate_key(batch.key, event, now_ms).text
    return named_gate("batch", function_id, batch.key or "", key)


def offer_of(event: Event, debounce: Debounce, now_ms: int) -> Offer:
    """An event as it is offered to a debounce now."""
    return Offer(event.internal_id, event.ts_ms, event.received_at_ms, now_ms, debounce)


def batch_event(event: Event) -> BatchEvent:
    """An event as it is added to a batch."""
    return BatchEvent(event.internal_id, len(encode(event.wire())))


def runs_alone(batch: Batch, event: Event, now_ms: int) -> bool:
    """Whether the batch's condition does not accept an event; nor does one that fails (protocol 6.10)."""
    if batch.condition is None:
        return False
    from stepwell_orchestrator.expr.compile import compile_expression  # only expressions pay for the parser's import

    condition = compile_expression(batch.condition, variables=TRIGGER_VARIABLES)
    return not condition.matches({"event": event.wire()}, now_ms)


def debounced_run(event: Event, function: Function, debounced: Debounced) -> RunHeader:
    """The run of a debounce, whose event that is. It counts as created when the debounce was due."""
    created_at_ms = debounced.due_at_ms
    run_id = derived_ulid(created_at_ms, "debounce", debounced.first_event_id, function.slug)
    header = new_run(event, function, _invoker_of(event))
    return replace(header, run_id=run_id, created_at_ms=created_at_ms)


def batch_run_id(function_id: str, closed: ClosedBatch) -> str:
    """The id of a batch's run."""
    return derived_ulid(closed.closed_at_ms, "batch", function_id, *closed.event_ids)


def batch_run(events: Sequence[Event], function: Function, closed: ClosedBatch) -> RunHeader:
    """The run of a batch, with those of its events. It counts as created when the batch was closed."""
    first = events[0]
    invokers = [invoker for event in events if (invoker := _invoker_of(event)) is not None]
    return replace(
        new_run(first, function, invokers[0] if invokers else None),
        run_id=batch_run_id(function.slug, closed),
        event_ids=tuple(event.internal_id for event in events),
        created_at_ms=closed.closed_at_ms,
    )


def in_order(events: Sequence[Event]) -> list[Event]:
    """The events of a batch as its function gets them: in the order of their receipt."""
    return sorted(events, key=lambda event: (event.received_at_ms, event.internal_id))


def _invoker_of(event: Event) -> Invoker | None:
    invocation = invoked(event)
    return None if invocation is None else invocation[1]
