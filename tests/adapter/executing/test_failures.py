"""What becomes of exceptions: in a step body, at a memo, and in the function itself."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from stepwell.errors import NonRetriableError, StepError, StepwellError
from stepwell.steps.calls import StepOptions
from stepwell.values.failures import CAUSES_MAX, STACK_MAX_CHARS, error_body
from stepwell.values.retry_after import RetryAfterError
from stepwell.wire.reply import Instructions
from tests.adapter.executing.support import (
    NOW_MS,
    Fn,
    call,
    data,
    error,
    fail,
    failure,
    give,
    only,
    ops,
    result,
    runtime,
)


class DeclinedError(NonRetriableError):
    """A user's own subclass."""


def raising(problem: BaseException, options: Any = "a") -> Callable[[Any], Any]:
    """A function whose step raises ``problem``."""

    async def body() -> None:
        raise problem

    async def handler(ctx: Any) -> None:
        await ctx.step.run(options, body)

    return handler


@pytest.mark.parametrize(
    ("problem", "options", "attempt", "max_attempts", "expected"),
    [
        (ValueError("no"), "a", 0, 5, "StepError"),
        (ValueError("no"), "a", 3, 5, "StepError"),
        (ValueError("no"), "a", 4, 5, "StepFailed"),
        (ValueError("no"), "a", 0, 1, "StepFailed"),
        (ValueError("no"), "a", 99, None, "StepError"),
        (ValueError("no"), StepOptions("a", retries=1), 0, 5, "StepError"),
        (ValueError("no"), StepOptions("a", retries=1), 1, 5, "StepFailed"),
        (ValueError("no"), StepOptions("a", retries=9), 4, 5, "StepFailed"),
        (ValueError("no"), StepOptions("a", retries=1), 1, None, "StepFailed"),
        (NonRetriableError("stop"), "a", 0, 5, "StepFailed"),
        (DeclinedError("stop"), "a", 0, 5, "StepFailed"),
        (RetryAfterError("later", 5), "a", 0, 5, "StepError"),
        (RetryAfterError("later", 5), "a", 4, 5, "StepFailed"),
    ],
)
async def test_a_failing_body_is_retried_while_attempts_remain(
    problem: Exception, options: Any, attempt: int, max_attempts: int | None, expected: str
) -> None:
    """The last attempt, the step's own limit and a non-retriable error make a failure final (protocol 5.8)."""
    outcome = await call(raising(problem, options), attempt=attempt, max_attempts=max_attempts)

    assert ops(outcome) == [(expected, "a")]


async def test_a_step_error_says_what_happened() -> None:
    """The opcode carries class, message and the frames of user code."""
    opcode = only(await call(raising(ValueError("no such user"))))

    assert opcode.error is not None
    assert opcode.error.stack is not None
    assert (opcode.error.name, opcode.error.message) == ("ValueError", "no such user")
    assert "in body" in opcode.error.stack
    assert opcode.error.stack.endswith("ValueError: no such user\n")
    assert "stepwell/executing/step_body.py" not in opcode.error.stack


async def test_a_final_failure_is_discovered_at_once() -> None:
    """A StepFailed is a race even inside a gather, which raises before its other members are done (protocol 5.6)."""

    async def handler(ctx: Any) -> None:
        await asyncio.gather(ctx.step.run("a", fail), ctx.step.run("b", give, 1))

    failed, retried = await call(handler, target="a", max_attempts=1), await call(handler, target="a")

    assert (only(failed).parallel_mode, only(retried).parallel_mode) == ("race", None)


NAIVE = dt.datetime(2030, 1, 1)  # noqa: DTZ001 - without a zone on purpose

RETRY_TIMES = [
    (90, 90_000),
    (1.5, 1_500),
    ("5m", 300_000),
    (dt.timedelta(hours=2), 7_200_000),
    (dt.datetime.fromtimestamp(NOW_MS / 1000 + 60, dt.UTC), 60_000),
    (0, 1_000),
    (dt.timedelta(days=9), 86_400_000),
]


@pytest.mark.parametrize(("after", "delay_ms"), RETRY_TIMES)
async def test_a_body_chooses_when_it_is_retried(after: Any, delay_ms: int) -> None:
    """RetryAfterError in a step sets the time of the next attempt, within 1 s and 24 h (protocol 4.8)."""
    outcome = await call(raising(RetryAfterError("later", after)))

    assert isinstance(outcome, Instructions)
    assert outcome.retry_at_ms == NOW_MS + delay_ms


@pytest.mark.parametrize(("after", "delay_ms"), RETRY_TIMES)
async def test_a_function_chooses_when_it_is_retried(after: Any, delay_ms: int) -> None:
    """RetryAfterError in the function does the same for the call."""

    async def handler(ctx: Any) -> None:
        raise RetryAfterError("later", after)

    failed = failure(await call(handler))

    assert (failed.retry_at_ms, failed.no_retry) == (NOW_MS + delay_ms, False)


@pytest.mark.parametrize("after", ["soon", NAIVE, float("inf"), None])
async def test_a_time_that_is_none_fails_the_step(after: Any) -> None:
    """A body that makes a RetryAfterError with a time that is none has made a mistake, which no retry mends."""

    async def body() -> None:
        raise RetryAfterError("later", after)

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", body)

    opcode = only(await call(handler))

    assert opcode.op == "StepFailed"
    assert opcode.error is not None
    assert opcode.error.name == "DefinitionError"


class _ChangedError(RetryAfterError):
    @property
    def after(self) -> Any:
        raise RuntimeError("not known any more")

    @after.setter
    def after(self, value: Any) -> None:
        pass


class _BareError(RetryAfterError):
    def __init__(self) -> None:
        Exception.__init__(self, "bare")


def _spoilt(after: Any) -> RetryAfterError:
    error = RetryAfterError("later", 5)
    error.after = after
    return error


@pytest.mark.parametrize(
    "error", [_ChangedError("later", 5), _BareError(), _spoilt(None), _spoilt(NAIVE), _spoilt("soon")]
)
async def test_a_time_that_was_spoilt_leaves_the_table_in_charge(error: RetryAfterError) -> None:
    """A RetryAfterError whose time was lost after it was made is retried like any error."""
    outcome = await call(raising(error))

    assert isinstance(outcome, Instructions)
    assert (ops(outcome), outcome.retry_at_ms) == ([("StepError", "a")], None)


async def _raises(ctx: Any) -> None:
    raise ValueError("broken")


async def _gives_up(ctx: Any) -> None:
    raise DeclinedError("stop")


async def _waits(ctx: Any) -> None:
    raise RetryAfterError("later", 5)


async def _lets_a_step_error_pass(ctx: Any) -> None:
    await ctx.step.run("bad", give)


async def _lets_a_group_of_them_pass(ctx: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.step.run("bad", give))


def _plain_lets_a_step_error_pass(ctx: Any) -> None:
    ctx.step.run("bad", give)


async def _misuses(ctx: Any) -> None:
    await ctx.step.run("", give)


async def _wraps(ctx: Any) -> None:
    try:
        await ctx.step.run("bad", give)
    except StepError as problem:
        raise LookupError("wrapped") from problem


@pytest.mark.parametrize(
    ("handler", "name", "message", "code", "no_retry"),
    [
        (_raises, "ValueError", "broken", "unknown", False),
        (_gives_up, "DeclinedError", "stop", "non_retriable_error", True),
        (_waits, "RetryAfterError", "later", "retry_after_error", False),
        (_lets_a_step_error_pass, "CardError", "declined", "step_errored", True),
        (_lets_a_group_of_them_pass, "CardError", "declined", "step_errored", True),
        (_plain_lets_a_step_error_pass, "CardError", "declined", "step_errored", True),
        (_wraps, "LookupError", "wrapped", "unknown", False),
    ],
)
async def test_a_failing_function_fails_the_call(
    handler: Callable[[Any], Any], name: str, message: str, code: str, no_retry: bool
) -> None:
    """The class and message of what escaped are reported, with a code that says whether to retry (protocol 4.6)."""
    failed = failure(await call(handler, {"bad": error("declined", "CardError")}))

    assert (failed.error.name, failed.error.message, failed.error.code) == (name, message, code)
    assert failed.no_retry is no_retry
    assert failed.output == failed.error.encode()


async def test_misuse_is_not_retried() -> None:
    """A step call that is written wrongly fails the same way every time."""
    failed = failure(await call(_misuses))

    assert (failed.error.name, failed.error.code, failed.no_retry) == ("DefinitionError", "step_misused", True)


async def test_a_group_with_one_permanent_member_is_permanent() -> None:
    """Several failures at once are reported together, and not retried when one of them would only come again."""

    async def handler(ctx: Any) -> None:
        raise ExceptionGroup("both", [ValueError("x"), ExceptionGroup("in", [DeclinedError("y")])])

    failed = failure(await call(handler))

    assert failed.no_retry
    assert failed.error.message == "both: ValueError: x; DeclinedError: y"


async def test_a_step_error_is_raised_with_what_was_recorded() -> None:
    """Name, message and stack of the memo are on the exception, which is one of Stepwell's."""

    async def handler(ctx: Any) -> Any:
        with pytest.raises(StepError) as caught:
            await ctx.step.run("bad", give)
        problem = caught.value
        return [isinstance(problem, StepwellError), problem.name, problem.message, problem.stack, str(problem)]

    memo = {"error": {"name": "CardError", "message": "declined", "stack": "trace"}}

    assert result(await call(handler, {"bad": memo})) == [True, "CardError", "declined", "trace", "CardError: declined"]


@pytest.mark.parametrize("value", [object(), {1: 2}, float("nan"), b"raw", [{"deep": {"set": object()}}]])
async def test_a_result_that_is_not_json_fails_for_good(value: Any) -> None:
    """A function result that cannot be stored is not retried, since it would be the same again."""

    async def handler(ctx: Any) -> Any:
        return value

    failed = failure(await call(handler))

    assert (failed.error.code, failed.no_retry) == ("output_unserializable", True)
    assert failed.error.message.startswith('function "app-fn": the result')


async def test_a_step_result_that_is_not_json_fails_the_step_for_good() -> None:
    """A step whose result cannot be stored is not run again, and says which step it is."""

    async def handler(ctx: Any) -> Any:
        await ctx.step.run("a", give, {"when": object()})

    opcode = only(await call(handler))

    assert opcode.op == "StepFailed"
    assert opcode.error is not None
    assert opcode.error.message.startswith('step "a": the result cannot be stored as JSON: when is of type object')


async def test_a_memo_that_does_not_fit_is_retried() -> None:
    """A stored result the annotation no longer fits names the step; a corrected deployment may still read it."""

    async def number() -> int:
        return 1

    async def handler(ctx: Any) -> Any:
        return await ctx.step.run("a", number)

    failed = failure(await call(handler, {"a": data("text")}))

    assert (failed.error.name, failed.no_retry) == ("EncodingError", False)
    assert failed.error.message.startswith('step "a": the result does not fit the annotation of')


async def test_a_body_that_breaks_its_annotation_fails() -> None:
    """What a body returns is read back at once, so that the mistake shows where it is made."""

    async def number() -> int:
        return "text"  # type: ignore[return-value]

    async def handler(ctx: Any) -> Any:
        return await ctx.step.run("a", number)

    assert ops(await call(handler)) == [("StepFailed", "a")]


@pytest.mark.parametrize(
    "event", [{"name": "", "data": {}}, {"name": "a/b", "data": [1]}, {"name": "a/b", "ts": "now"}]
)
async def test_a_malformed_event_fails_for_good(event: dict[str, Any]) -> None:
    """An event that cannot be read is not retried, and the handler is not called."""
    called = []

    async def handler(ctx: Any) -> None:
        called.append(ctx)

    failed = failure(await call(handler, event=event))

    assert (failed.error.name, failed.error.code, failed.no_retry) == ("EventError", "event_invalid", True)
    assert called == []


def test_causes_are_nested_up_to_a_bound() -> None:
    """Five causes are kept, each with its name and message."""
    problem: BaseException = ValueError("0")
    for number in range(1, 9):
        outer = ValueError(str(number))
        outer.__cause__ = problem
        problem = outer

    messages, cause = [], error_body(problem).cause
    while cause is not None:
        messages.append(cause["message"])
        cause = cause.get("cause")

    assert messages == ["7", "6", "5", "4", "3"]
    assert len(messages) == CAUSES_MAX


def test_a_suppressed_context_is_not_reported() -> None:
    """``raise ... from None`` hides what was being handled; otherwise the context counts as the cause."""
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None
    except ValueError as problem:
        hidden = error_body(problem)
    try:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer")  # noqa: B904 - the missing "from" is the point
    except ValueError as problem:
        shown = error_body(problem)

    assert hidden.cause is None
    assert shown.cause["name"] == "KeyError"


def test_a_long_stack_keeps_its_end() -> None:
    """A stack is bounded, and what is kept are the last frames and how the error begins and ends."""

    def deep(levels: int) -> None:
        if levels == 0:
            raise ValueError("x" * STACK_MAX_CHARS)
        deep(levels - 1)

    with pytest.raises(ValueError, match="x") as caught:
        deep(200)
    stack = error_body(caught.value).stack

    assert stack is not None
    assert len(stack) <= STACK_MAX_CHARS + 50
    assert "in deep" in stack
    assert "ValueError: x" in stack
    assert stack.endswith("x\n")


async def test_the_function_decides_when_attempts_are_not_said() -> None:
    """Without max_attempts the context shows the function's own retries."""
    handler = Fn(raising(ValueError("no")), retries=2)

    assert ops(await call(handler, max_attempts=None, runtime=runtime())) == [("StepError", "a")]
