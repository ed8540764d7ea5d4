"""Step calls inside asyncio: every construct takes them, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.adapter.executing import corpus
from tests.adapter.executing.support import (
    call,
    data,
    error,
    failure,
    finish,
    give,
    io,
    never,
    only,
    ops,
    result,
    runtime,
)


async def _gather(step: Coroutine[Any, Any, Any]) -> Any:
    return (await asyncio.gather(step))[0]


async def _task(step: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.create_task(step)


async def _ensured(step: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.ensure_future(step)


async def _group(step: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(step)
    return task.result()


async def _wait(step: Coroutine[Any, Any, Any]) -> Any:
    done, _ = await asyncio.wait({asyncio.ensure_future(step)}, return_when=asyncio.FIRST_COMPLETED)
    return done.pop().result()


async def _shield(step: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.shield(step)


async def _as_completed(step: Coroutine[Any, Any, Any]) -> Any:
    (each,) = asyncio.as_completed([step])
    return await each


async def _nested_task(step: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.create_task(_gather(asyncio.create_task(_group(step))))  # type: ignore[arg-type]


async def _twice(step: Coroutine[Any, Any, Any]) -> Any:
    first = await step
    assert await step is first
    return first


async def _two_tasks(step: Coroutine[Any, Any, Any]) -> Any:
    first, second = await asyncio.gather(asyncio.create_task(step), asyncio.create_task(step))
    assert first is second
    return first


CONSTRUCTS = (
    _gather,
    _task,
    _ensured,
    _group,
    _wait,
    _shield,
    _as_completed,
    _nested_task,
    _twice,
    _two_tasks,
)


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda construct: construct.__name__.strip("_"))
async def test_every_construct_takes_a_step(construct: Callable[[Any], Any]) -> None:
    """A step inside any of asyncio's constructs is found, and its result arrives."""

    async def handler(ctx: Any) -> Any:
        return await construct(ctx.step.run("a", give, [1]))

    assert ops(await call(handler)) == [("StepRun", "a")]
    assert result(await call(handler, {"a": data([1])})) == [1]


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda construct: construct.__name__.strip("_"))
async def test_every_construct_raises_a_failed_step(construct: Callable[[Any], Any]) -> None:
    """A failed step escapes any of asyncio's constructs as a failure that is not retried."""

    async def handler(ctx: Any) -> Any:
        return await construct(ctx.step.run("a", give, 1))

    failed = failure(await call(handler, {"a": error("no")}))

    assert (failed.error.message, failed.error.code, failed.no_retry) == ("no", "step_errored", True)


async def test_ids_are_counted_in_the_order_of_the_calls() -> None:
    """A repeated id is numbered when the step is called, not when it is awaited."""

    async def handler(ctx: Any) -> Any:
        first, second = ctx.step.run("x", give, 1), ctx.step.run("x", give, 2)
        return [await second, await first]

    server = await finish(handler)

    assert (result(server.outcome), sorted(server.history)) == ([2, 1], ["x", "x:1"])


async def test_a_deep_chain_of_tasks_is_waited_out() -> None:
    """However many passes of the loop a result takes to arrive, the step behind it is found."""

    async def handler(ctx: Any) -> Any:
        async def deep(levels: int) -> Any:
            if levels == 0:
                return await ctx.step.run("low", give, 1)
            return (await asyncio.gather(asyncio.create_task(deep(levels - 1))))[0]

        return [await deep(20), await ctx.step.run("after", give, 2)]

    assert ops(await call(handler, {"low": data(1)})) == [("StepRun", "after")]


async def test_a_branch_that_is_busy_for_long_is_reported_without() -> None:
    """Steps that were found are not held back for longer than the patience by a branch that waits for the world."""

    async def handler(ctx: Any) -> Any:
        await asyncio.gather(ctx.step.run("a", give, 1), asyncio.get_running_loop().create_future())

    assert ops(await call(handler, runtime=runtime(patience_s=0.01))) == [("StepRun", "a")]


async def test_a_branch_that_polls_forever_is_reported_without() -> None:
    """Patience is counted over all of the waiting, however often the branch wakes."""

    async def handler(ctx: Any) -> Any:
        async def poll() -> None:
            while True:
                await io(0)

        await asyncio.gather(ctx.step.run("a", give, 1), poll())

    assert ops(await call(handler, runtime=runtime(patience_s=0.01))) == [("StepRun", "a")]


async def test_a_branch_that_spins_forever_is_reported_without() -> None:
    """A branch that yields without end does not hold the others back either."""

    async def handler(ctx: Any) -> Any:
        async def spin() -> None:
            while True:  # noqa: ASYNC110 - spinning is the point
                await asyncio.sleep(0)

        await asyncio.gather(ctx.step.run("a", give, 1), spin())

    assert ops(await call(handler, runtime=runtime(patience_s=0.01))) == [("StepRun", "a")]


async def test_a_busy_function_without_steps_is_waited_for() -> None:
    """With nothing to report there is nothing to lose patience for."""

    async def handler(ctx: Any) -> Any:
        await io(0.02)
        return await ctx.step.run("late", give, 1)

    assert ops(await call(handler, runtime=runtime(patience_s=0))) == [("StepRun", "late")]


async def test_a_background_task_in_the_way_is_no_business_of_the_call() -> None:
    """A task that nobody awaits and that waits for the world is neither waited for nor cancelled."""
    started: list[asyncio.Task[Any]] = []

    async def handler(ctx: Any) -> Any:
        started.append(asyncio.create_task(never()))
        return await ctx.step.run("a", give, 1)

    assert ops(await call(handler)) == [("StepRun", "a")]
    assert not started[0].done()
    started[0].cancel()


async def test_finally_blocks_run_and_their_steps_do_nothing() -> None:
    """A call that ends in the middle of a function unwinds it; a step in the way out is not reported."""
    seen = []

    async def handler(ctx: Any) -> Any:
        try:
            await ctx.step.run("a", give, 1)
        finally:
            seen.append("finally")
            await ctx.step.run("cleanup", give, 2)
            seen.append("after")

    assert ops(await call(handler)) == [("StepRun", "a")]
    assert seen == ["finally"]


async def test_except_exception_does_not_swallow_the_end_of_a_call() -> None:
    """What unwinds a function passes ``except Exception``."""
    seen = []

    async def handler(ctx: Any) -> Any:
        try:
            await ctx.step.run("a", give, 1)
        except Exception as problem:  # noqa: BLE001 - as a careless function does
            seen.append(problem)

    await call(handler)

    assert seen == []


async def test_a_function_may_await_while_it_is_unwound() -> None:
    """Cleaning up with real I/O is finished before the call is answered."""
    seen = []

    async def handler(ctx: Any) -> Any:
        try:
            await ctx.step.run("a", give, 1)
        finally:
            await io()
            seen.append("closed")

    await call(handler)

    assert seen == ["closed"]


async def test_a_function_that_refuses_to_end_is_left_behind() -> None:
    """A handler that swallows its cancellation holds the answer back for no longer than the patience."""
    let_go, left = asyncio.Event(), asyncio.Event()

    async def handler(ctx: Any) -> Any:
        try:
            await ctx.step.run("a", give, 1)
        except asyncio.CancelledError:
            await let_go.wait()
            left.set()

    assert ops(await call(handler, runtime=runtime(patience_s=0.001))) == [("StepRun", "a")]
    let_go.set()
    await left.wait()


async def test_a_cancelled_call_cancels_the_function() -> None:
    """When the caller goes away the function is unwound, and the cancellation is not swallowed."""
    seen: list[str] = []

    async def handler(ctx: Any) -> Any:
        try:
            await never()
        finally:
            seen.append("finally")

    running = asyncio.create_task(call(handler))
    await io()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert seen == ["finally"]


async def test_a_call_cancelled_in_a_step_body_is_cancelled() -> None:
    """A cancellation from outside during a body is no failure of the step."""
    running = asyncio.create_task(call(_slow_step))
    await io(0.005)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def _slow_step(ctx: Any) -> Any:
    await ctx.step.run("slow", never)


async def test_a_body_that_cancels_itself_has_failed() -> None:
    """A CancelledError that nobody outside asked for is an error like any other."""

    async def body() -> None:
        raise asyncio.CancelledError

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", body)

    assert ops(await call(handler)) == [("StepError", "a")]


async def test_a_function_that_cancels_itself_has_failed() -> None:
    """A handler that ends cancelled fails the call, which is retried."""

    async def handler(ctx: Any) -> None:
        raise asyncio.CancelledError

    assert failure(await call(handler)).no_retry is False


@pytest.mark.parametrize("handler", corpus.ORDERLY + corpus.RACES, ids=lambda handler: handler.__name__)
async def test_nothing_is_left_behind(handler: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    """No task survives a call, and asyncio has nothing to complain of."""
    before = asyncio.all_tasks()
    with caplog.at_level(logging.WARNING):
        await finish(handler, seed=3)
        gc.collect()
        await asyncio.sleep(0)

    assert asyncio.all_tasks() == before
    assert caplog.records == []


async def test_an_abandoned_gather_is_ended_quietly(caplog: pytest.LogCaptureFixture) -> None:
    """A gather that is never awaited leaves no complaint when the call ends."""

    async def handler(ctx: Any) -> Any:
        dropped = asyncio.gather(ctx.step.run("a", give, 1), ctx.step.run("b", give, 2))
        await ctx.step.sleep("nap", 1)
        return await dropped

    assert ops(await call(handler)) == [("StepPlanned", "a"), ("StepPlanned", "b"), ("Sleep", "nap")]
    await asyncio.sleep(0)
    gc.collect()
    assert caplog.records == []


async def test_calls_in_one_loop_do_not_see_each_other() -> None:
    """Runs that share an event loop each get their own steps and results."""

    async def handler(ctx: Any) -> Any:
        await asyncio.sleep(0)
        first = await ctx.step.run("a", give, ctx.event.data["n"])
        await io()
        return first + await ctx.step.run("b", give, 1)

    events = [{"name": "a/b", "data": {"n": number}} for number in range(20)]
    memos = [{"a": data(number), "b": data(1)} for number in range(20)]
    outcomes = await asyncio.gather(
        *(call(handler, memo, event=event) for memo, event in zip(memos, events, strict=True))
    )

    assert [result(outcome) for outcome in outcomes] == list(range(1, 21))


async def test_a_step_from_another_thread_is_refused() -> None:
    """A step call outside the function's event loop fails with what to do instead."""

    async def handler(ctx: Any) -> Any:
        await asyncio.to_thread(ctx.step.run, "a", give, 1)

    failed = failure(await call(handler))

    assert failed.error.message == (
        'step "a": called outside the event loop of its function; call it in the function itself'
    )
    assert failed.no_retry


async def test_plain_bodies_run_beside_the_event_loop() -> None:
    """A plain function runs in a thread of its own, so that it may block; a coroutine function stays in the loop."""
    threads = []

    async def coroutine_body() -> None:
        threads.append(threading.current_thread())

    async def handler(ctx: Any) -> Any:
        await ctx.step.run("a", lambda: threads.append(threading.current_thread()))
        await ctx.step.run("b", coroutine_body)

    await finish(handler)

    assert [thread is threading.main_thread() for thread in threads] == [False, True]


async def test_a_plain_body_may_return_a_coroutine() -> None:
    """A lambda around a coroutine function is awaited."""

    async def handler(ctx: Any) -> Any:
        return await ctx.step.run("a", lambda: give(5))

    assert only(await call(handler)).data == 5


async def test_a_failure_that_nobody_awaits_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A memoised failure whose step call was dropped is no unretrieved exception."""

    async def handler(ctx: Any) -> str:
        ctx.step.run("bad", give)
        await ctx.step.run("a", give, 1)
        return "done"

    assert result(await call(handler, {"bad": error("no"), "a": data(1)})) == "done"
    await asyncio.sleep(0)
    gc.collect()
    assert caplog.records == []


async def test_a_target_is_executed_without_patience() -> None:
    """A busy branch does not hold back a call that has found its target."""

    async def handler(ctx: Any) -> None:
        await asyncio.gather(ctx.step.run("a", give, 1), asyncio.get_running_loop().create_future())

    assert ops(await call(handler, target="a", runtime=runtime(patience_s=3_600))) == [("StepRun", "a")]
