"""``def`` functions: step calls give values, a new step unwinds, and branches run side by side."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from stepwell.errors import StepError
from tests.adapter.executing.support import call, data, error, failure, finish, give, modes, ops, result


async def test_the_function_runs_in_a_thread_of_its_own() -> None:
    """A plain function may block: the event loop goes on."""
    threads = []

    def handler(ctx: Any) -> None:
        threads.append(threading.current_thread())

    await call(handler)

    assert threads[0] is not threading.main_thread()


async def test_a_step_gives_its_value() -> None:
    """Step calls return results, not awaitables."""

    def handler(ctx: Any) -> Any:
        return [ctx.step.run("a", give, 1) + 1, ctx.step.sleep("nap", 1)]

    assert result(await call(handler, {"a": data(1), "nap": None})) == [2, None]


async def test_except_exception_does_not_swallow_the_interrupt() -> None:
    """A new step unwinds the function through ``except Exception``, and ``finally`` blocks run."""
    seen = []

    def handler(ctx: Any) -> None:
        try:
            ctx.step.run("a", give, 1)
        except Exception as problem:  # noqa: BLE001 - as a careless function does
            seen.append(problem)
        finally:
            seen.append("finally")

    assert ops(await call(handler)) == [("StepRun", "a")]
    assert seen == ["finally"]


async def test_a_function_that_swallows_the_interrupt_gets_no_further() -> None:
    """After its first new step every step call unwinds again, and what the function returns is not a result."""

    def handler(ctx: Any) -> str:
        try:
            ctx.step.run("a", give, 1)
        except BaseException:  # noqa: BLE001 - as a reckless function does
            try:
                ctx.step.run("b", give, 1)
            except BaseException as problem:  # noqa: BLE001 - as a reckless function does
                return str(problem)
        return "done"

    assert ops(await call(handler)) == [("StepRun", "a")]


async def test_an_interrupt_turned_into_an_exception_is_an_interrupt() -> None:
    """What a function makes of being unwound is no failure of the function."""

    def handler(ctx: Any) -> None:
        try:
            ctx.step.run("a", give, 1)
        except BaseException as problem:
            raise LookupError from problem

    assert ops(await call(handler)) == [("StepRun", "a")]


async def test_branches_are_planned_together() -> None:
    """Every branch is run up to its first new step in one call."""

    def handler(ctx: Any) -> Any:
        return ctx.step.parallel(
            lambda: ctx.step.run("a", give, "a"),
            lambda: [ctx.step.run("b1", give, 1), ctx.step.run("b2", give, 2)],
            lambda: ctx.step.sleep("nap", 1),
        )

    assert ops(await call(handler)) == [("StepPlanned", "a"), ("StepPlanned", "b1"), ("Sleep", "nap")]
    assert result((await finish(handler)).outcome) == ["a", [1, 2], None]


async def test_branches_may_come_in_a_sequence() -> None:
    """A list of branches is taken as well as separate arguments, and none at all gives no results."""

    def handler(ctx: Any) -> Any:
        return [ctx.step.parallel([partial(ctx.step.run, name, give, name) for name in "ab"]), ctx.step.parallel()]

    assert result((await finish(handler)).outcome) == [["a", "b"], []]


async def test_a_failing_branch_waits_for_the_others() -> None:
    """The first exception in the order of the branches is raised once all branches have ended."""

    def handler(ctx: Any) -> Any:
        try:
            ctx.step.parallel(
                lambda: ctx.step.run("slow", give, 1),
                lambda: ctx.step.run("bad", give, 1),
                lambda: ctx.step.run("worse", give, 1),
            )
        except StepError as problem:
            return problem.message

    memos = {"worse": error("worse"), "bad": error("bad")}

    assert ops(await call(handler, memos)) == [("StepRun", "slow")]
    assert result(await call(handler, {**memos, "slow": data(1)})) == "bad"


async def test_steps_of_an_unwound_branch_do_nothing() -> None:
    """A ``finally`` block of a branch that is being unwound asks for nothing."""

    def handler(ctx: Any) -> Any:
        def branch() -> None:
            try:
                ctx.step.run("a", give, 1)
            finally:
                ctx.step.run("cleanup", give, 1)

        ctx.step.parallel(branch, lambda: ctx.step.run("b", give, 1))

    assert ops(await call(handler)) == [("StepPlanned", "a"), ("StepPlanned", "b")]


def _tail(ctx: Any) -> Any:
    return ctx.step.parallel(lambda: ctx.step.run("a", give, 1), lambda: ctx.step.run("b", give, 1))


def _named_tail(ctx: Any) -> Any:
    def branch() -> Any:
        return ctx.step.run("a", give, 1)

    return ctx.step.parallel(branch, partial(ctx.step.run, "b", give, 1))


def _more_to_do(ctx: Any) -> Any:
    return ctx.step.parallel(lambda: ctx.step.run("a", give, 1) + 1, lambda: ctx.step.run("b", give, 1))


def _through_a_helper(ctx: Any) -> Any:
    def helper() -> Any:
        return ctx.step.run("a", give, 1)

    return ctx.step.parallel(lambda: helper(), lambda: ctx.step.run("b", give, 1))


def _nested(ctx: Any) -> Any:
    return ctx.step.parallel(lambda: _tail(ctx))


@pytest.mark.parametrize(
    ("handler", "mode"),
    [(_tail, None), (_named_tail, None), (_more_to_do, "race"), (_through_a_helper, "race"), (_nested, "race")],
)
async def test_only_branches_of_one_step_are_joined_by_the_server(
    handler: Callable[[Any], Any], mode: str | None
) -> None:
    """A branch that has anything left to do after its step is discovered as soon as that step is done."""
    assert modes(await call(handler)) == {mode}
    assert modes(await call(handler, target="a")) == {mode}


async def test_a_branch_that_is_no_function_is_refused() -> None:
    """Calling the step instead of passing a function is explained."""

    def handler(ctx: Any) -> Any:
        ctx.step.parallel([1, 2])

    failed = failure(await call(handler))

    assert failed.error.message == (
        'step.parallel takes functions, got int; write each branch as lambda: step.run("id", fn)'
    )


async def test_steps_in_threads_of_the_function_are_refused() -> None:
    """Steps of a plain function belong to its own thread."""

    def handler(ctx: Any) -> Any:
        problems = []

        def other() -> None:
            try:
                ctx.step.run("a", give, 1)
            except Exception as problem:  # noqa: BLE001 - carried to the function's own thread
                problems.append(str(problem))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return problems

    assert result(await call(handler)) == [
        'step "a": called from another thread than its function; use step.parallel for parallel steps'
    ]


async def test_steps_in_a_loop_of_the_function_are_refused() -> None:
    """A plain function that starts an event loop must not use steps in it."""

    def handler(ctx: Any) -> Any:
        async def inside() -> None:
            ctx.step.run("a", give, 1)

        asyncio.run(inside())

    assert failure(await call(handler)).error.message == (
        'step "a": called from a coroutine, but its function is plain; make the function async def'
    )


async def test_an_exception_of_the_function_fails_the_call() -> None:
    """What a plain function raises is reported as it is for a coroutine."""

    def handler(ctx: Any) -> None:
        raise LookupError("gone")

    failed = failure(await call(handler))

    assert (failed.error.name, failed.error.message, failed.no_retry) == ("LookupError", "gone", False)


async def test_a_bare_result_may_be_none() -> None:
    """A function that returns nothing finishes with null."""
    assert result(await call(lambda ctx: None)) is None
