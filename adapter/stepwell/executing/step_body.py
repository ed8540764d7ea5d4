"""The execution of one step: its body runs once, and the reply says what came of it."""

from __future__ import annotations

from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Final

from stepwell.errors import EncodingError
from stepwell.executing.body_attempt import BodyAttempt, raised, set_since
from stepwell.executing.body_threads import Ended
from stepwell.executing.runtime import Runtime
from stepwell.middleware.base import StepInfo
from stepwell.replaying.replay import Body, Raised, RequestedStep
from stepwell.values.failures import error_body, is_permanent, retry_at_ms
from stepwell.values.round_trip import check_round_trip
from stepwell.values.serializer import to_json
from stepwell.wire.call import CallContext
from stepwell.wire.errors import ErrorBody
from stepwell.wire.opcodes import Op, Opcode, ParallelMode
from stepwell.wire.reply import Instructions

NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Modes:
    """How the function waits for a step: for its result or its next attempt, and when it has failed for good."""

    done: ParallelMode | None
    failed: ParallelMode | None


async def execute_step(
    step: RequestedStep, body: Body, ctx: CallContext, modes: Modes, runtime: Runtime, *, function: str
) -> Instructions:
    """Run ``body``, that of a step of ``function``, and report StepRun, StepError or StepFailed.

    Exceptions of the body never escape. Raises MiddlewareError.
    """
    body = runtime.body_of(step, body)
    info = StepInfo(step.label, step.hashed, step.call.display_name)
    before = copy_context()
    await runtime.hooks.before_execution(info)
    started_ms = runtime.now_ms()
    attempt = BodyAttempt(function, ctx.run_id, step, body, runtime, set_since(before))
    value, error = _stored(step, await attempt.outcome())
    ended_ms = runtime.now_ms()
    await runtime.hooks.after_execution(info)
    value, error = await runtime.hooks.transform_output(value, error, info)
    opcode = (
        _opcode(step, Op.STEP_RUN, modes.done, data=value) if error is None else _failure(step, body, ctx, modes, error)
    )
    timed = replace(opcode, started_ns=started_ms * NS_PER_MS, duration_ns=max(ended_ms - started_ms, 0) * NS_PER_MS)
    retry_ms = retry_at_ms(error, ended_ms) if error is not None and opcode.op is Op.STEP_ERROR else None
    return Instructions((timed,), retry_at_ms=retry_ms)


def report(step: RequestedStep, mode: ParallelMode | None) -> Opcode:
    """The opcode of a step that is not executed now: planned, or left to the server."""
    return _opcode(step, Op.STEP_PLANNED if step.call.body else step.call.op, mode)


def _stored(step: RequestedStep, ended: Ended) -> tuple[Any, BaseException | None]:
    """The result of the body as JSON from which its annotation reads it again, or else why there is none."""
    if isinstance(ended, Raised):
        return None, ended.error
    owner = f'step "{step.label}": the result'
    try:
        encoded = to_json(ended.value, owner)
        check_round_trip(ended.value, step.call.restore(encoded), owner)
    except BaseException as error:  # noqa: BLE001 - models and serializers are user code
        return None, raised(error).error
    return encoded, None


def _failure(step: RequestedStep, body: Body, ctx: CallContext, modes: Modes, error: BaseException) -> Opcode:
    if isinstance(error, EncodingError) or is_permanent(error) or _is_last_attempt(ctx, body.retries):
        return _opcode(step, Op.STEP_FAILED, modes.failed, error=error_body(error))
    return _opcode(step, Op.STEP_ERROR, modes.done, error=error_body(error))


def _is_last_attempt(ctx: CallContext, retries: int | None) -> bool:
    """An old server does not say how many attempts there are, and decides itself (protocol 5.8)."""
    bounds = [ctx.max_attempts, None if retries is None else retries + 1]
    known = [bound for bound in bounds if bound is not None]
    return bool(known) and ctx.attempt + 1 >= min(known)


def _opcode(
    step: RequestedStep, op: Op, mode: ParallelMode | None, *, data: Any = None, error: ErrorBody | None = None
) -> Opcode:
    return Opcode(
        op=op,
        id=step.hashed,
        name=step.call.name,
        display_name=step.call.display_name,
        opts={**step.call.opts, **({"parallelMode": mode} if mode else {})},
        data=data,
        error=error,
        user_id=step.name.user_id,
        user_index=step.name.index,
    )
