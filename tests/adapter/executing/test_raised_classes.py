"""Whatever a body or a function raises, of any class, is a failure of that attempt."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from stepwell.errors import NonRetriableError
from tests.adapter.executing.support import call, failure, never, only


class _AbortError(BaseException):
    pass


def _exits() -> None:
    sys.exit("no licence file")


def _exits_with_a_number() -> None:
    raise SystemExit(3)


def _interrupts() -> None:
    raise KeyboardInterrupt("by hand")


def _closes() -> None:
    raise GeneratorExit


def _runs_out() -> None:
    next(iter([]))


def _runs_out_of_async() -> None:
    raise StopAsyncIteration


def _cancels() -> None:
    raise asyncio.CancelledError("by nobody")


def _aborts() -> None:
    raise _AbortError("now")


def _groups() -> None:
    raise BaseExceptionGroup("both", [_AbortError("one"), ValueError("two")])


RAISES: list[tuple[Callable[[], None], str, str]] = [
    (_exits, "SystemExit", "no licence file"),
    (_exits_with_a_number, "SystemExit", "3"),
    (_interrupts, "KeyboardInterrupt", "by hand"),
    (_closes, "GeneratorExit", ""),
    (_runs_out, "StopIteration", ""),
    (_runs_out_of_async, "StopAsyncIteration", ""),
    (_cancels, "CancelledError", "by nobody"),
    (_aborts, "_AbortError", "now"),
    (_groups, "BaseExceptionGroup", "both: _AbortError: one; ValueError: two"),
]


def _awaited(raises: Callable[[], None]) -> Callable[[], Any]:
    async def body() -> None:
        await asyncio.sleep(0)
        raises()

    return body


@pytest.mark.parametrize(("raises", "name", "message"), RAISES)
@pytest.mark.parametrize("attempt", [0, 4])
async def test_what_a_plain_body_raises_is_its_failure(
    raises: Callable[[], None], name: str, message: str, attempt: int
) -> None:
    """The attempt has failed with that class and message; the last one fails the step."""

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", raises)

    def plain(ctx: Any) -> None:
        ctx.step.run("a", raises)

    for function in (handler, plain):
        opcode = only(await call(function, attempt=attempt))
        assert opcode.op == ("StepError" if attempt == 0 else "StepFailed")
        assert opcode.error is not None
        assert (opcode.error.name, opcode.error.message) == (name, message)


@pytest.mark.parametrize(("raises", "name", "message"), RAISES)
async def test_what_a_coroutine_body_raises_is_its_failure(raises: Callable[[], None], name: str, message: str) -> None:
    """The same in the event loop, which goes on; Python itself makes a StopIteration there a RuntimeError."""

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", _awaited(raises))

    opcode = only(await call(handler))

    assert opcode.error is not None
    in_loop = "RuntimeError" if name == "StopIteration" else name
    assert (opcode.op, opcode.error.name) == ("StepError", in_loop)


@pytest.mark.parametrize(("raises", "name", "message"), RAISES)
async def test_what_a_function_raises_is_its_failure(raises: Callable[[], None], name: str, message: str) -> None:
    """A call of either kind of function fails with what it raised, and is worth another attempt."""

    async def handler(ctx: Any) -> None:
        await asyncio.sleep(0)
        raises()

    def plain(ctx: Any) -> None:
        raises()

    in_loop = "RuntimeError" if name == "StopIteration" else name
    for function, expected in ((handler, in_loop), (plain, name)):
        failed = failure(await call(function))
        assert (failed.error.name, failed.no_retry) == (expected, False)


async def _exiting() -> None:
    _exits()


async def _gathers() -> None:
    await asyncio.gather(_exiting(), asyncio.sleep(0))


async def _awaits_a_task() -> None:
    await asyncio.create_task(_exiting())


async def _groups_tasks() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_exiting())


async def _limits() -> None:
    await asyncio.wait_for(_exiting(), 60)


async def _awaits_a_thread() -> None:
    await asyncio.to_thread(_exits)


async def _cleans_up() -> None:
    async def cleaned() -> None:
        try:
            await never()
        finally:
            _exits()

    task = asyncio.create_task(cleaned())
    await asyncio.sleep(0)
    task.cancel()
    await task


TASKS = [_gathers, _awaits_a_task, _groups_tasks, _limits, _awaits_a_thread, _cleans_up]


@pytest.mark.parametrize("starts", TASKS)
async def test_an_exit_in_a_task_of_a_body_is_its_failure(starts: Callable[[], Any]) -> None:
    """A task that a body has started cannot end the event loop either, in both kinds of function."""

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", starts)

    def plain(ctx: Any) -> None:
        ctx.step.run("a", starts)

    for function in (handler, plain):
        opcode = only(await call(function))
        assert opcode.error is not None
        assert (opcode.error.name, opcode.error.message) == ("SystemExit", "no licence file")


@pytest.mark.parametrize("starts", TASKS)
async def test_an_exit_in_a_task_of_a_function_is_its_failure(starts: Callable[[], Any]) -> None:
    """Nor can one that the function itself has started."""

    async def handler(ctx: Any) -> None:
        await starts()

    failed = failure(await call(handler))
    assert (failed.error.name, failed.error.message) == ("SystemExit", "no licence file")


async def test_a_group_with_an_error_that_is_permanent_is_permanent() -> None:
    """A NonRetriableError counts wherever it is in a group of any class."""

    def body() -> None:
        raise BaseExceptionGroup(
            "both", [_AbortError(), BaseExceptionGroup("in", [_AbortError(), NonRetriableError("no")])]
        )

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", body)

    assert only(await call(handler)).op == "StepFailed"


async def test_a_cancellation_from_outside_ends_the_call() -> None:
    """Who cancels a call cancels its body, and nothing is reported."""
    began = asyncio.Event()

    async def body() -> None:
        began.set()
        await never()

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", body)

    task = asyncio.ensure_future(call(handler))
    await began.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def _ended_by(number: signal.Signals, handle: Any, where: str) -> type[BaseException] | None:
    """What comes out of an event loop in which a signal comes while a body, or a function, runs."""

    async def interrupted() -> None:
        signal.raise_signal(number)

    async def handler(ctx: Any) -> None:
        if where == "function":
            await interrupted()
        await ctx.step.run("a", interrupted)

    loop = asyncio.new_event_loop()
    before = signal.signal(number, handle)
    ended_by: type[BaseException] | None = None
    task = loop.create_task(call(handler))
    try:
        loop.run_until_complete(task)
    except (KeyboardInterrupt, SystemExit) as error:
        ended_by = type(error)
    finally:
        signal.signal(number, before)
        for _ in range(5):  # it comes out of each task that waits for another
            with suppress(KeyboardInterrupt, SystemExit):
                loop.run_until_complete(asyncio.sleep(0))
        task.exception()  # somebody looks at it
        loop.close()
    return ended_by


@pytest.mark.parametrize("where", ["body", "function"])
def test_a_real_interrupt_ends_the_process(where: str) -> None:
    """A Ctrl-C while a body or a function runs comes out of the event loop, as without Stepwell."""
    assert _ended_by(signal.SIGINT, signal.default_int_handler, where) is KeyboardInterrupt


@pytest.mark.parametrize("where", ["body", "function"])
def test_a_handler_of_a_signal_that_exits_ends_the_process(where: str) -> None:
    """What a handler of the process's own raises is none of the body's."""

    def stop(number: int, frame: Any) -> None:
        sys.exit(0)

    assert _ended_by(signal.SIGTERM, stop, where) is SystemExit
