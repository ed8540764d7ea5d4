"""Step bodies: arguments, time limits, and what a body may not do."""

from __future__ import annotations

import asyncio
import datetime as dt
from functools import partial
from types import TracebackType
from typing import Any, Self

import pytest

from stepwell.steps.calls import StepOptions
from tests.adapter.executing.support import call, failure, give, never, only, ops, runtime


class Scope:
    """A time limit that is up as soon as the body waits."""

    def __init__(self, seconds: float, *, expires: bool) -> None:
        self.seconds = seconds
        self._expires = expires

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if self._expires:
            raise TimeoutError
        return None

    def expired(self) -> bool:
        return self._expires


@pytest.mark.parametrize(("limit", "seconds"), [("30s", 30.0), ("1m30s", 90.0), ("250ms", 0.25)])
async def test_a_timeout_is_a_failed_attempt(limit: str, seconds: float) -> None:
    """When the time is up the attempt has failed, with an error that names step and limit."""
    scopes = []

    def expiring(given: float) -> Scope:
        scopes.append(given)
        return Scope(given, expires=True)

    async def handler(ctx: Any) -> None:
        await ctx.step.run(StepOptions("a", timeout=limit), give, 1)

    opcode = only(await call(handler, runtime=runtime(timeout=expiring)))

    assert (opcode.op, scopes) == ("StepError", [seconds])
    assert opcode.error is not None
    assert (opcode.error.name, opcode.error.message) == (
        "TimeoutError",
        f'step "a" took longer than its timeout of {limit}',
    )


async def test_a_timeout_of_the_body_itself_is_its_own() -> None:
    """A TimeoutError that the body raises within its limit is reported as it is."""

    async def body() -> None:
        raise TimeoutError("the bank does not answer")

    async def handler(ctx: Any) -> None:
        await ctx.step.run(StepOptions("a", timeout="30s"), body)

    opcode = only(await call(handler))

    assert opcode.error is not None
    assert opcode.error.message == "the bank does not answer"


async def test_a_timeout_cancels_the_body() -> None:
    """The real time limit cancels what the body waits for."""
    seen = []

    async def body() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def handler(ctx: Any) -> None:
        await ctx.step.run(StepOptions("a", timeout="1ms"), body)

    assert (ops(await call(handler)), seen) == ([("StepError", "a")], ["cancelled"])


class Adder:
    async def __call__(self, first: int, second: int) -> int:
        return first + second

    @classmethod
    def plain(cls, first: int, second: int) -> int:
        return first + second


async def _add(first: int, second: int) -> int:
    return first + second


@pytest.mark.parametrize("fn", [_add, partial(_add), Adder(), Adder.plain, Adder().plain, lambda a, second: a + second])
async def test_any_callable_with_arguments_is_a_body(fn: Any) -> None:
    """Positional and keyword arguments reach functions, partials, objects and methods."""

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", fn, 1, second=2)

    assert only(await call(handler)).data == 3


async def test_a_step_inside_a_step_is_refused() -> None:
    """A body that uses a step fails for good and is told how to write it; the inner step never runs."""
    ran = []

    async def handler(ctx: Any) -> None:
        async def outer() -> None:
            await ctx.step.run("inner", ran.append, 1)

        await ctx.step.run("outer", outer)

    opcode = only(await call(handler))

    assert (opcode.op, opcode.user_id, ran) == ("StepFailed", "outer", [])
    assert opcode.error is not None
    assert opcode.error.message == (
        'step "inner" is used inside the body of step "outer", which runs as a whole: '
        "call the steps one after another in the function, and pass results as arguments"
    )


@pytest.mark.parametrize("kind", ["sleep", "run"])
async def test_a_step_inside_a_plain_body_is_refused(kind: str) -> None:
    """The same holds for a body that runs in a thread, in both kinds of function."""

    def plain(ctx: Any) -> None:
        ctx.step.run("outer", lambda: ctx.step.sleep("inner", 1) if kind == "sleep" else ctx.step.run("inner", give))

    async def coroutine(ctx: Any) -> None:
        await ctx.step.run(
            "outer", lambda: ctx.step.sleep("inner", 1) if kind == "sleep" else ctx.step.run("inner", give)
        )

    for handler in (plain, coroutine):
        opcode = only(await call(handler))
        assert opcode.op == "StepFailed"
        assert opcode.error is not None
        assert opcode.error.message.startswith('step "inner" is used inside the body of step "outer"')


async def test_a_function_called_by_a_step_body_may_have_steps() -> None:
    """A whole call made from within a body, as an engine in the same process does, is no nested step."""

    async def inner(ctx: Any) -> None:
        await ctx.step.run("inner", give, 1)

    def plain_inner(ctx: Any) -> None:
        ctx.step.run("inner", give, 1)

    async def outer(ctx: Any) -> None:
        async def body() -> list[Any]:
            return [ops(await call(inner)), ops(await call(plain_inner))]

        await ctx.step.run("outer", body)

    assert only(await call(outer)).data == [[["StepRun", "inner"]], [["StepRun", "inner"]]]


class _Later:
    """Awaitable, but no coroutine."""

    def __await__(self) -> Any:
        yield


NAIVE = dt.datetime(2030, 1, 1)  # noqa: DTZ001 - without a zone on purpose

MISUSES: list[tuple[Any, str]] = [
    (lambda step: step.run("", give), "a step id must be a text that is not empty, got ''"),
    (lambda step: step.run(7, give), "a step id must be a text that is not empty, got 7"),
    (lambda step: step.run("a", give(1)), 'step "a": pass the function, do not call it'),
    (lambda step: step.run("a", _Later()), "pass the function, do not call it"),
    (lambda step: step.run("a", 5), 'step "a": the second argument must be a function, got int'),
    (lambda step: step.run(StepOptions("a", retries=-1), give), 'step "a": retries must be 0 or more, got -1'),
    (lambda step: step.run(StepOptions("a", timeout="0s"), give), 'step "a": timeout must be longer than 0'),
    (lambda step: step.run(StepOptions("a", timeout="soon"), give), 'step "a": timeout: "soon" is not a duration'),
    (lambda step: step.sleep("nap", "-1s"), 'step "nap": the duration is negative'),
    (lambda step: step.sleep("nap", "367d"), 'step "nap": sleeps 367d; the limit is 366d'),
    (lambda step: step.sleep("nap", "soon"), 'step "nap": the duration: "soon" is not a duration'),
    (lambda step: step.sleep("nap", None), 'step "nap": the duration must be a duration such as "30s"'),
    (lambda step: step.sleep("nap", True), 'step "nap": the duration must be a duration such as "30s"'),
    (lambda step: step.sleep("nap", float("inf")), 'step "nap": the duration is inf seconds'),
    (lambda step: step.sleep(StepOptions("nap", retries=1), 1), 'step "nap": a sleep is never retried or timed out'),
    (lambda step: step.sleep_until("nap", NAIVE), "without a time zone"),
    (
        lambda step: step.sleep_until("nap", "2024-01-01T09:00:00"),
        'step "nap": "2024-01-01T09:00:00" names no time zone',
    ),
    (lambda step: step.sleep_until("nap", "2024-01-01"), 'step "nap": "2024-01-01" names no time zone; add one, e.g.'),
    (lambda step: step.sleep_until("nap", "2024-01-01 09:00"), 'step "nap": "2024-01-01 09:00" names no time zone'),
    (lambda step: step.sleep_until("nap", "20240101T090000"), 'step "nap": "20240101T090000" names no time zone'),
    (lambda step: step.sleep_until("nap", "Tue Nov 14 22:14:20 2023"), "names no time zone"),
    (lambda step: step.sleep_until("nap", "tomorrow"), 'step "nap": "tomorrow" is not a time'),
    (lambda step: step.sleep_until("nap", "2050-01-01T00:00:00Z"), "the limit is 366d"),
    (lambda step: step.sleep_until("nap", 5), 'step "nap": sleep_until takes an aware datetime or an ISO time'),
    (lambda step: step.send_event("send", {"name": "a"}), "send_event takes stepwell.Event objects"),
]


@pytest.mark.parametrize(("use", "message"), MISUSES)
async def test_misuse_is_explained(use: Any, message: str) -> None:
    """A wrong step call says which step, what is wrong and what to write, and is not retried."""

    async def handler(ctx: Any) -> None:
        await use(ctx.step)

    def plain(ctx: Any) -> None:
        use(ctx.step)

    for function in (handler, plain):
        failed = failure(await call(function))
        assert message in failed.error.message
        assert (failed.error.name, failed.no_retry) == ("DefinitionError", True)
