"""Small runs, entries and replies for tables of engine tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stepwell.wire.errors import ErrorBody
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import Failed, Finished, Instructions, Outcome, Reply
from stepwell_orchestrator.engine.journal.retry import RetryPolicy
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.run import Progress, Run, RunHeader
from stepwell_orchestrator.model.step import Place, StepEntry, StepStatus

NOW_MS = 1_800_000_000_000
RUN_ID = "01M81QZTSMKEBWPDNZD2R6PZY5"
FUNCTION = Function("shop-fulfil", "shop", "Fulfil", "http://app.test/api/inngest?fnId=shop-fulfil&stepId=step")


def event(name: str = "order/created", **data: Any) -> Event:
    internal_id = "01M81QZTP4KK2MZ0GRC4B7H14M"
    return Event(internal_id, name, internal_id, NOW_MS, NOW_MS, data)


def entry(name: str, status: StepStatus = StepStatus.COMPLETED, **changes: Any) -> StepEntry:
    base = StepEntry(hash_step_id(name), name, Op.STEP_RUN, status, NOW_MS - 10)
    if base.memoised:
        base = replace(base, memo={"data": name}, ended_at_ms=NOW_MS - 5, size_bytes=10)
    return replace(base, **changes)


def placed(name: str, term: int, index: int, **changes: Any) -> StepEntry:
    return entry(name, place=Place(term, index), **changes)


def run(*entries: StepEntry, term: int = 1, version: int = 2, trigger: Event | None = None, **progress: Any) -> Run:
    trigger = trigger or event()
    header = RunHeader(
        run_id=RUN_ID,
        app_id="shop",
        function_id=FUNCTION.slug,
        event_name=trigger.name,
        event_ids=(trigger.internal_id,),
        created_at_ms=NOW_MS - 100,
        started_at_ms=NOW_MS - 90,
        term=term,
        progress=Progress(request_version=version, **progress),
    )
    return Run(header, (trigger,), {item.step_id: item for item in entries})


def situation(of: Run, target: str | None = None, *, max_attempts: int = 5, limits: Limits | None = None) -> Situation:
    return Situation(
        run=of,
        target=None if target is None else hash_step_id(target),
        max_attempts=max_attempts,
        called_at_ms=NOW_MS - 4,
        now_ms=NOW_MS,
        limits=limits or Limits(),
        retries=RetryPolicy(fixed_delay_ms=1_000),
    )


def op(kind: Op, name: str = "a", **members: Any) -> Opcode:
    return Opcode(kind, hash_step_id(name), name, name, **members)


def step_error(name: str = "a", kind: Op = Op.STEP_ERROR, **members: Any) -> Opcode:
    return op(kind, name, error=ErrorBody("ValueError", "no", **members))


def reply(outcome: Outcome, version: int | None = 2) -> Reply:
    return Reply(outcome, version)


def instructed(*opcodes: Opcode, no_retry: bool = False, retry_at_ms: int | None = None) -> Reply:
    return reply(Instructions(opcodes, no_retry, retry_at_ms))


def returned(result: Any = None) -> Reply:
    return reply(Finished(result))


def raised(*, no_retry: bool = False, retry_at_ms: int | None = None) -> Reply:
    body = {"name": "KeyError", "message": "gone", "code": "unknown"}
    return reply(Failed(ErrorBody("KeyError", "gone", code="unknown"), body, no_retry, retry_at_ms))
