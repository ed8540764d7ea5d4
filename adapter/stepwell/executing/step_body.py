"""The execution of one step: its body runs once, and the reply says what came of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Protocol, Self

from stepwell.errors import DefinitionError, EncodingError
from stepwell.executing.saving import Saver
from stepwell.middleware.base import StepInfo
from stepwell.middleware.hooks import NO_HOOKS, Hooks
from stepwell.replaying.replay import Body, RequestedStep
from stepwell.steps.calls import SendEvents
from stepwell.steps.signals import SendSignal
from stepwell.values.failures import error_body, is_permanent, retry_at_ms
from stepwell.values.serializer import to_json
from stepwell.wire.call import CallContext
from stepwell.wire.errors import ErrorBody
from stepwell.wire.opcodes import Op, Opcode, ParallelMode
from stepwell.wire.reply import Instructions
from stepwell.wire.times import SECOND_MS, format_duration

EXECUTING: Final[ContextVar[str | None]] = ContextVar("stepwell_executing_step", default=None)
"""The id of the step whose body the current code belongs to."""

NS_PER_MS: Final = 1_000_000


class TimeoutScope(Protocol):
    """What ``asyncio.timeout`` returns, as far as it is used."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> bool | None: ...
    def expired(self) -> bool:
        """Whether the time was up."""
        ...


def as_written(_step: RequestedStep, body: Body) -> Body:
    """The body the function gave the step."""
    return body


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a call needs from outside.

    ``send`` sends events, ``send_signal`` a signal; ``now_ms`` is the clock; ``timeout`` makes a context manager that
    cancels its body after so many seconds and raises TimeoutError, as ``asyncio.timeout`` does. ``patience_s`` bounds
    how long a call with steps to report waits for a branch of the function that is busy with something else; a plain
    function counts as busy ``grace_s`` after its last step.
    ``body_of`` says what is executed for a step: tests put a stub in the body's place. ``saver`` saves steps while
    their call goes on; without one each step ends its call. No step is begun that may not end before ``ends_at_ms``.
    ``hooks`` is the middleware of the call.
    """

    send: SendEvents
    send_signal: SendSignal
    now_ms: Callable[[], int]
    timeout: Callable[[float], TimeoutScope] = asyncio.timeout
    patience_s: float = 10.0
    grace_s: float = 0.1
    body_of: Callable[[RequestedStep, Body], Body] = as_written
    saver: Saver | None = None
    ends_at_ms: int | None = None
    hooks: Hooks = NO_HOOKS


def refuse_nested(step_id: str) -> None:
    """Raise DefinitionError when the calling code is itself the body of a step (protocol 5.7)."""
    outer = EXECUTING.get()
    if outer is not None:
        raise DefinitionError(
            f'step "{step_id}" is used inside the body of step "{outer}", which runs as a whole: '
            "call the steps one after another in the function, and pass results as arguments"
        )


async def execute_step(
    step: RequestedStep, body: Body, ctx: CallContext, mode: ParallelMode | None, runtime: Runtime
) -> Instructions:
    """Run ``body`` and report StepRun, StepError or StepFailed; exceptions of the body never escape.

    Raises MiddlewareError.
    """
    body = runtime.body_of(step, body)
    info = StepInfo(step.label, step.hashed, step.call.display_name)
    await runtime.hooks.before_execution(info)
    started_ms = runtime.now_ms()
    value, error = await _attempt(step, body, runtime)
    ended_ms = runtime.now_ms()
    await runtime.hooks.after_execution(info)
    value, error = await runtime.hooks.transform_output(value, error, info)
    opcode = _opcode(step, Op.STEP_RUN, mode, data=value) if error is None else _failure(step, body, ctx, mode, error)
    timed = replace(opcode, started_ns=started_ms * NS_PER_MS, duration_ns=max(ended_ms - started_ms, 0) * NS_PER_MS)
    retry_ms = retry_at_ms(error, ended_ms) if error is not None and opcode.op is Op.STEP_ERROR else None
    return Instructions((timed,), retry_at_ms=retry_ms)


def report(step: RequestedStep, mode: ParallelMode | None) -> Opcode:
    """The opcode of a step that is not executed now: planned, or left to the server."""
    return _opcode(step, Op.STEP_PLANNED if step.call.body else step.call.op, mode)


async def _attempt(step: RequestedStep, body: Body, runtime: Runtime) -> tuple[Any, BaseException | None]:
    """The result of the body, or what it raised."""
    try:
        return await _result(step, body, runtime), None
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        return None, error
    except Exception as error:  # noqa: BLE001 - whatever a body raises is the step's failure
        return None, error


async def _result(step: RequestedStep, body: Body, runtime: Runtime) -> Any:
    """What the body returns, as JSON that fits its annotation."""
    token = EXECUTING.set(step.label)
    try:
        value = await _bounded(step, body, runtime)
    finally:
        EXECUTING.reset(token)
    encoded = to_json(value, f'step "{step.label}": the result')
    step.call.restore(encoded)
    return encoded


async def _bounded(step: RequestedStep, body: Body, runtime: Runtime) -> Any:
    if body.timeout_ms is None:
        return await _invoke(step, body)
    expired = TimeoutError(f'step "{step.label}" took longer than its timeout of {format_duration(body.timeout_ms)}')
    scope = runtime.timeout(body.timeout_ms / SECOND_MS)
    try:
        async with scope:
            return await _invoke(step, body)
    except TimeoutError as error:
        raise (expired if scope.expired() else error) from None


async def _invoke(step: RequestedStep, body: Body) -> Any:
    """Call the body: a coroutine function in the event loop, a plain function in a thread, so that it may block."""
    args: Sequence[Any] = body.args if step.args is None else step.args
    kwargs: Mapping[str, Any] = body.kwargs if step.args is None else {}
    if body.takes_name:
        args = (step.name, *args)
    if _is_coroutine_function(body.fn):
        return await body.fn(*args, **kwargs)
    value = await asyncio.to_thread(body.fn, *args, **kwargs)
    return await _awaited(value) if inspect.isawaitable(value) else value


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


def _is_coroutine_function(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


def _failure(
    step: RequestedStep, body: Body, ctx: CallContext, mode: ParallelMode | None, error: BaseException
) -> Opcode:
    if isinstance(error, EncodingError) or is_permanent(error) or _is_last_attempt(ctx, body.retries):
        # A gather raises at once, whatever else is pending.
        return _opcode(step, Op.STEP_FAILED, "race", error=error_body(error))
    return _opcode(step, Op.STEP_ERROR, mode, error=error_body(error))


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


def _is_being_cancelled() -> bool:
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0
