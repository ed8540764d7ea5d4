"""asyncio's own waits are sleeps of the run: journaled, over when the journal says so, and at no other time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import anyio
import pytest

from stepwell.wire.ids import hash_step_id
from stepwell.wire.reply import Instructions
from tests.adapter.executing.support import call, data, failure, finish, give, never, ops, result, runtime

PLANNED = "StepPlanned"


async def timeout(ctx: Any) -> Any:
    try:
        async with asyncio.timeout(5):
            return await ctx.step.run("a", give, "a")
    except TimeoutError:
        return await ctx.step.run("late", give, "late")


async def timeout_at(ctx: Any) -> Any:
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + 5):
            return await ctx.step.run("a", give, "a")
    except TimeoutError:
        return "late"


async def rescheduled(ctx: Any) -> Any:
    try:
        async with asyncio.timeout(5) as limit:
            await ctx.step.run("a", give, "a")
            limit.reschedule(asyncio.get_running_loop().time() + 9)
            return await ctx.step.run("b", give, "b")
    except TimeoutError:
        return "late"


async def wait_for(ctx: Any) -> Any:
    try:
        return await asyncio.wait_for(ctx.step.wait_for_event("e", event="e", timeout="7d"), 3)
    except TimeoutError:
        return "late"


async def wait(ctx: Any) -> Any:
    task = asyncio.create_task(ctx.step.run("a", give, "a"))
    done, _ = await asyncio.wait({task}, timeout=5)
    return [each.result() for each in done]


async def as_completed(ctx: Any) -> Any:
    try:
        return [await each for each in asyncio.as_completed([ctx.step.run("a", give, "a")], timeout=5)]
    except TimeoutError:
        return "late"


async def sleep(ctx: Any) -> Any:
    await asyncio.sleep(5)
    return await ctx.step.run("a", give, "a")


async def sleeps_in_a_row(ctx: Any) -> Any:
    for _ in range(2):
        await asyncio.sleep(5)
    return "slept"


async def sleeps_gathered(ctx: Any) -> Any:
    return await asyncio.gather(asyncio.sleep(5, "x"), ctx.step.run("a", give, "a"))


async def fail_after(ctx: Any) -> Any:
    try:
        with anyio.fail_after(5):
            return await ctx.step.run("a", give, "a")
    except TimeoutError:
        return "late"


async def move_on_after(ctx: Any) -> Any:
    with anyio.move_on_after(5):
        return await ctx.step.run("a", give, "a")
    return "late"


async def anyio_sleep(ctx: Any) -> Any:
    await anyio.sleep(5)
    return "slept"


async def nested(ctx: Any) -> Any:
    try:
        async with asyncio.timeout(9):
            try:
                async with asyncio.timeout(5):
                    await ctx.step.run("a", give, "a")
            except TimeoutError:
                return await ctx.step.run("inner", give, "inner")
    except TimeoutError:
        return "outer"


TIMED = "asyncio.timeout in timeout"


@pytest.mark.parametrize(
    ("handler", "memos", "expected"),
    [
        (timeout, {}, [(PLANNED, "a"), ("Sleep", TIMED)]),
        (timeout, {TIMED: None}, [("StepRun", "late")]),
        (timeout_at, {}, [(PLANNED, "a"), ("Sleep", "asyncio.timeout in timeout_at")]),
        (rescheduled, {"a": data("a")}, [(PLANNED, "b"), ("Sleep", "asyncio.timeout in rescheduled:1")]),
        (wait_for, {}, [("WaitForEvent", "e"), ("Sleep", "asyncio.wait_for in wait_for")]),
        (wait, {}, [(PLANNED, "a"), ("Sleep", "asyncio.wait in wait")]),
        (as_completed, {}, [(PLANNED, "a"), ("Sleep", "asyncio.as_completed in as_completed")]),
        (sleep, {}, [("Sleep", "asyncio.sleep in sleep")]),
        (sleep, {"asyncio.sleep in sleep": None}, [("StepRun", "a")]),
        (
            sleeps_in_a_row,
            {"asyncio.sleep in sleeps_in_a_row": None},
            [("Sleep", "asyncio.sleep in sleeps_in_a_row:1")],
        ),
        (sleeps_gathered, {}, [(PLANNED, "a"), ("Sleep", "asyncio.sleep")]),
        (fail_after, {}, [(PLANNED, "a"), ("Sleep", "anyio.fail_after in fail_after")]),
        (move_on_after, {}, [(PLANNED, "a"), ("Sleep", "anyio.CancelScope in move_on_after")]),
        (anyio_sleep, {}, [("Sleep", "anyio.sleep in anyio_sleep")]),
        (
            nested,
            {},
            [(PLANNED, "a"), ("Sleep", "asyncio.timeout in nested"), ("Sleep", "asyncio.timeout in nested:1")],
        ),
        (
            nested,
            {"asyncio.timeout in nested:1": None},
            [("Sleep", "asyncio.timeout in nested"), (PLANNED, "inner")],
        ),
    ],
)
async def test_a_timer_is_reported_as_a_sleep(
    handler: Callable[[Any], Any], memos: Mapping[str, Any], expected: list[tuple[str, str]]
) -> None:
    """What a function waits with is a step, named after what the author wrote and where."""
    assert ops(await call(handler, memos, runtime=runtime(patience_s=3_600), from_stepwell=True)) == expected


@pytest.mark.parametrize(
    ("handler", "timer", "in_time", "late"),
    [
        (timeout_at, "asyncio.timeout in timeout_at", "a", "late"),
        (wait, "asyncio.wait in wait", ["a"], []),
        (as_completed, "asyncio.as_completed in as_completed", ["a"], "late"),
        (fail_after, "anyio.fail_after in fail_after", "a", "late"),
        (move_on_after, "anyio.CancelScope in move_on_after", "a", "late"),
    ],
)
async def test_the_journal_decides_what_came_first(
    handler: Callable[[Any], Any], timer: str, in_time: Any, late: Any
) -> None:
    """A timer fires where the journal has it, before or after the step it bounds, in every replay alike."""
    assert result(await call(handler, {"a": data("a")})) == in_time
    assert result(await call(handler, {"a": data("a"), timer: None})) == in_time
    assert result(await call(handler, {timer: None})) == late
    assert result(await call(handler, {timer: None, "a": data("a")})) == late


async def test_a_timeout_that_fired_gives_up_what_it_bounds() -> None:
    """The step that was cancelled, and the timer of a step that was in time, are told as given up."""
    timed_out = await call(wait_then_step, {"asyncio.timeout in wait_then_step": None})
    in_time = await call(wait_then_step, {"first": data(1)})

    assert isinstance(timed_out, Instructions)
    assert isinstance(in_time, Instructions)
    assert timed_out.given_up == (hash_step_id("first"),)
    assert in_time.given_up == (hash_step_id("asyncio.timeout in wait_then_step"),)


async def wait_then_step(ctx: Any) -> Any:
    try:
        async with asyncio.timeout(5):
            await ctx.step.run("first", give, 1)
    except TimeoutError:
        await asyncio.sleep(0)
    return await ctx.step.run("then", give, 2)


async def test_no_second_passes_without_the_journal() -> None:
    """A time that is over in real seconds while the call goes on changes nothing: the step came first."""

    async def slow() -> str:
        await asyncio.sleep(0.02)
        return "slow"

    async def handler(ctx: Any) -> Any:
        async with asyncio.timeout(0.001):
            return await ctx.step.run("slow", slow)

    assert ops(await call(handler, target="slow")) == [("StepRun", "slow")]
    assert result(await call(handler, {"slow": data("slow")})) == "slow"


async def test_a_timer_around_io_is_the_calls_own() -> None:
    """I/O that is no step belongs to one call, and so does the time it may take: it fires, and leaves no trace."""

    async def handler(ctx: Any) -> Any:
        try:
            async with asyncio.timeout(0.001):
                await never()
        except TimeoutError:
            return await ctx.step.run("late", give, "late")

    assert ops(await call(handler)) == [("StepRun", "late")]


async def test_a_timer_around_a_step_and_io_is_the_runs() -> None:
    """A step decides: what is bounded together with one waits for the journal."""

    async def handler(ctx: Any) -> Any:
        async with asyncio.timeout(0.001):
            await asyncio.gather(ctx.step.run("a", give, 1), asyncio.to_thread(lambda: None))

    assert ops(await call(handler)) == [
        (PLANNED, "a"),
        ("Sleep", "asyncio.timeout in test_a_timer_around_a_step_and_io_is_the_runs.<locals>.handler"),
    ]


async def test_the_timers_of_io_libraries_count_for_nothing() -> None:
    """A client's timers leave the names of the function's own as they are."""

    async def handler(ctx: Any) -> Any:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            try:
                await session.get("http://127.0.0.1:1/")
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(5)

    (reported,) = ops(await call(handler))
    assert reported[0] == "Sleep"
    assert reported[1].startswith("asyncio.sleep in ")
    assert not reported[1].endswith(":1")


async def test_a_timer_of_the_loop_itself_is_refused_in_the_function() -> None:
    """What counts the seconds of one call cannot be made durable, and says what to write instead."""

    async def handler(ctx: Any) -> Any:
        asyncio.get_running_loop().call_later(5, print)
        await ctx.step.run("a", give, 1)

    failed = failure(await call(handler))

    assert "await asyncio.sleep(...) or step.sleep(...) instead" in failed.error.message
    assert failed.error.message.startswith(f"{__file__}:")


async def test_a_body_has_the_loops_own_timers() -> None:
    """A step runs as a whole: its sleeps are real, and its steps none."""

    async def body() -> str:
        async with asyncio.timeout(60):
            await asyncio.sleep(0.001)
        return "slept"

    async def handler(ctx: Any) -> Any:
        return await ctx.step.run("a", body)

    assert result((await finish(handler)).outcome) == "slept"


async def test_a_function_may_sleep_while_it_is_unwound() -> None:
    """Cleaning up takes real time: the call has ended."""
    seen = []

    async def handler(ctx: Any) -> Any:
        try:
            await ctx.step.run("a", give, 1)
        finally:
            await asyncio.sleep(0.001)
            seen.append("cleaned")

    await call(handler)

    assert seen == ["cleaned"]


async def test_too_long_a_timer_is_refused_where_it_is_set() -> None:
    """A wait of more than a year is said to be too long, with what to do."""

    async def handler(ctx: Any) -> Any:
        await asyncio.sleep(400 * 86_400)

    assert "the limit is 366d: sleep again after it" in failure(await call(handler)).error.message
