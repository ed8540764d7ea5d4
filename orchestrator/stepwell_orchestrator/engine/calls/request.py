"""A run as the call request its function gets (protocol 4)."""

from __future__ import annotations

from typing import Any

from stepwell.wire.call import DISCOVERY_STEP_ID, CallContext, CallRequest
from stepwell.wire.ids import derived_ulid
from stepwell.wire.memo import input_memo
from stepwell_orchestrator.engine.journal.call_reference import CallReference
from stepwell_orchestrator.engine.journal.discovery import has_pending
from stepwell_orchestrator.engine.journal.retry import discovery_attempt
from stepwell_orchestrator.engine.journal.stack import stack_of
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.run import Run


def call_request(run: Run, function: Function, *, target: str | None, now_ms: int, call: int = 0) -> CallRequest:
    """The request for a discovery (no target) or for one planned step; ``use_api`` is the sender's to decide.

    ``call`` numbers the discoveries of a term. With ``fn_id`` and ``qi_id``, the function may save the steps of a
    discovery by checkpoints.
    """
    header = run.header
    stack = stack_of(run)
    entry = run.entries[target] if target is not None else None
    attempt = discovery_attempt(run) if entry is None else entry.failed_attempts
    generation_id = header.term if entry is None else entry.attempt + 1
    queue_item = header.run_id if target is None else f"{header.run_id}:{target}"
    reference = CallReference(header.run_id, header.term, call, header.wanted)
    ctx = CallContext(
        fn_id=function.slug,
        run_id=header.run_id,
        attempt=attempt,
        max_attempts=function.max_attempts,
        stack=stack,
        stack_current=len(stack),
        disable_immediate_execution=entry is not None or has_pending(run),
        step_id=DISCOVERY_STEP_ID,
        qi_id=reference.encode() if entry is None else queue_item,
        request_id=derived_ulid(now_ms, queue_item, str(generation_id), str(call), str(len(stack)), str(attempt)),
        generation_id=generation_id,
        job_id=queue_item,
        said=header.progress.said if entry is None else None,
        from_stepwell=True,
    )
    events = [event.wire() for event in run.events]
    return CallRequest(
        event=events[0],
        events=events,
        steps=steps_of(run),
        ctx=ctx,
        version=header.progress.request_version,
    )


def steps_of(run: Run) -> dict[str, Any]:
    """The memos of the steps in a run's stack, and the arguments set for steps still to come (protocol 4.2, 4.3)."""
    memos = {step_id: run.entries[step_id].memo for step_id in stack_of(run)}
    coming = (entry for entry in run.entries.values() if not entry.memoised and entry.arguments is not None)
    return memos | {entry.step_id: input_memo(entry.arguments or ()) for entry in coming}
