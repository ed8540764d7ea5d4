"""Step calls as the user writes them, checked and turned into what a replay works with: steps that run, and sleeps."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from stepwell.errors import DefinitionError, WireError
from stepwell.replaying.replay import Body, StepCall
from stepwell.values.event import Event
from stepwell.values.result_types import restore_result
from stepwell.wire.ids import EventIdSeed, StepName, derived_seed, is_ulid, ulid_ms
from stepwell.wire.opcodes import Op
from stepwell.wire.times import (
    DAY_MS,
    format_duration,
    format_instant,
    instant_of,
    parse_duration_ms,
    parse_zoned_instant_ms,
)

Duration = str | dt.timedelta | float
"""``"1h30m"``, a timedelta, or a number of seconds."""

SendEvents = Callable[[Sequence[Mapping[str, Any]], EventIdSeed | None], Awaitable[list[str]]]
"""Takes events in wire form and the seed of their ids; gives their internal ids in order."""

SLEEP_MAX_MS: Final = 366 * DAY_MS

T = TypeVar("T")


class TypedStepCall(StepCall, Generic[T]):
    """A step call that gives a T, so that what a face of a step kind says it gives is checked."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class StepOptions:
    """A step id with the policy of that step.

    ``retries`` counts the attempts after the first and cannot exceed the function's; ``timeout`` cancels the body,
    which counts as a failed attempt; ``name`` is what people are shown instead of the id. Raises DefinitionError.
    """

    id: str
    retries: int | None = None
    timeout: str | dt.timedelta | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        _check_id(self.id)
        if self.retries is not None and self.retries < 0:
            raise misuse(self.id, f"retries must be 0 or more, got {self.retries}")
        if self.timeout is not None and duration_ms(self.id, "timeout", self.timeout) <= 0:
            raise misuse(self.id, f'timeout must be longer than 0, got {self.timeout!r}; e.g. "30s"')


def _check_id(step_id: Any) -> None:
    if not isinstance(step_id, str) or not step_id.strip():
        raise DefinitionError(
            f'a step id must be a text that is not empty, got {step_id!r}; write it like "fetch-user"'
        )


StepId = str | StepOptions


def misuse(step_id: str, problem: str) -> DefinitionError:
    """The error for a step call that is written wrongly."""
    return DefinitionError(f'step "{step_id}": {problem}')


def run_call(
    step: StepId, fn: Any, args: Sequence[Any], kwargs: Mapping[str, Any], *, opts: Mapping[str, Any] | None = None
) -> TypedStepCall[Any]:
    """A step that executes ``fn``."""
    options = options_of(step)
    if inspect.isawaitable(fn):
        if inspect.iscoroutine(fn):
            fn.close()  # it will never be awaited, and says so otherwise
        raise misuse(options.id, 'pass the function, do not call it: step.run("id", fn, arg), not fn(arg)')
    if not callable(fn):
        raise misuse(options.id, f"the second argument must be a function, got {type(fn).__name__}")
    return runnable(options, fn, args, kwargs, opts=opts)


def sleep_call(step: StepId, duration: Duration) -> TypedStepCall[None]:
    """A step that ends after ``duration``."""
    options = options_of(step)
    length_ms = duration_ms(options.id, "the duration", duration)
    if length_ms < 0:
        raise misuse(options.id, f"the duration is negative ({duration}); sleep 0 or more")
    return _sleep(options, length_ms, format_duration(length_ms))


def sleep_until_call(step: StepId, when: dt.datetime | str, now_ms: int) -> TypedStepCall[None]:
    """A step that ends at ``when``, at once when that is past."""
    options = options_of(step)
    at_ms = _instant(options.id, when)
    return _sleep(options, at_ms - now_ms, format_instant(at_ms))


def send_event_call(
    step: StepId, events: Event | Sequence[Event], run_id: str, send: SendEvents
) -> TypedStepCall[list[str]]:
    """A step that sends events; repeated by a retry it sends the same internal ids (protocol 3.4).

    Raises EventError when one of them is malformed; then none is sent.
    """
    options = options_of(step)
    batch = [events] if isinstance(events, Event) else list(events)
    wire = [_wire_event(options.id, event) for event in batch]
    return runnable(
        options, partial(_send, send, run_id), (wire,), {}, takes_name=True, opts={"type": "step.sendEvent"}
    )


def _wire_event(step_id: str, event: Any) -> dict[str, Any]:
    if not isinstance(event, Event):
        raise misuse(step_id, f"send_event takes stepwell.Event objects, got {type(event).__name__}")
    return event.to_wire()


async def _send(send: SendEvents, run_id: str, name: StepName, wire: Sequence[Mapping[str, Any]]) -> list[str]:
    started_ms = ulid_ms(run_id) if is_ulid(run_id) else 0
    return await send(wire, derived_seed(started_ms, run_id, name.hashed))


def options_of(step: StepId) -> StepOptions:
    """A step id with its policy."""
    return step if isinstance(step, StepOptions) else StepOptions(step)


def runnable(
    options: StepOptions,
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    takes_name: bool = False,
    opts: Mapping[str, Any] | None = None,
) -> TypedStepCall[Any]:
    """A step with a body. With ``takes_name`` its StepName goes before the arguments."""
    timeout_ms = None if options.timeout is None else duration_ms(options.id, "timeout", options.timeout)
    return TypedStepCall(
        user_id=options.id,
        op=Op.STEP_RUN,
        name=options.id,
        display_name=options.name or options.id,
        restore=partial(_restore, fn, options.id),
        opts=opts or {},
        body=Body(fn, args, kwargs, options.retries, timeout_ms, takes_name),
    )


def _restore(fn: Callable[..., Any], step_id: str, value: Any) -> Any:
    return restore_result(fn, value, f'step "{step_id}": the result')


def _sleep(options: StepOptions, length_ms: int, text: str) -> TypedStepCall[None]:
    """Older servers read the duration from the name, newer ones from the options (protocol 5.4)."""
    if length_ms > SLEEP_MAX_MS:
        raise misuse(options.id, f"sleeps {format_duration(length_ms)}; the limit is 366d: sleep again after it")
    refuse_policy(options, "a sleep is never retried or timed out; leave retries and timeout out")
    return TypedStepCall(
        user_id=options.id,
        op=Op.SLEEP,
        name=text,
        display_name=options.name or options.id,
        restore=_nothing,
        opts={"duration": text},
    )


def refuse_policy(options: StepOptions, advice: str) -> None:
    """Refuse retries and a timeout for a step that has no body."""
    if options.retries is not None or options.timeout is not None:
        raise misuse(options.id, advice)


def _nothing(_: Any) -> None:
    return None


def duration_ms(step_id: str, what: str, value: Any) -> int:
    """Milliseconds of a duration, rounded up. Raises DefinitionError naming the step."""
    if isinstance(value, dt.timedelta):
        return -(-value // dt.timedelta(milliseconds=1))
    if isinstance(value, str):
        try:
            return parse_duration_ms(value)
        except WireError as error:
            raise misuse(step_id, f"{what}: {error}") from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return -(-dt.timedelta(seconds=value) // dt.timedelta(milliseconds=1))
        except (OverflowError, ValueError):
            raise misuse(step_id, f"{what} is {value} seconds, which is no length of time") from None
    raise misuse(step_id, f'{what} must be a duration such as "30s", a timedelta or seconds, got {value!r}')


def _instant(step_id: str, when: Any) -> int:
    try:
        if isinstance(when, dt.datetime):
            return instant_of(when)
        if isinstance(when, str):
            return parse_zoned_instant_ms(when)
    except (ValueError, WireError) as error:
        raise misuse(step_id, str(error)) from None
    raise misuse(step_id, f"sleep_until takes an aware datetime or an ISO time with a time zone, got {when!r}")
