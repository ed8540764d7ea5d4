"""A replay that differs from the journal is reported, and goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stepwell.wire.ids import hash_step_id
from tests.adapter.executing.support import RUN_ID, call, data, give, result
from tests.adapter.executing.support import error as failed


async def _two(ctx: Any) -> None:
    await ctx.step.run("a", give, 1)
    await ctx.step.run("b", give, 2)


def _two_plain(ctx: Any) -> None:
    ctx.step.run("a", give, 1)
    ctx.step.run("b", give, 2)


async def _nothing(ctx: Any) -> None:
    return None


def _nothing_plain(ctx: Any) -> None:
    return None


async def _sleeps(ctx: Any) -> None:
    await ctx.step.sleep("a", 1)


async def _waits(ctx: Any) -> None:
    await ctx.step.wait_for_event("a", event="x/y", timeout="1h")


async def _listens(ctx: Any) -> None:
    await ctx.step.wait_for_signal("a", signal="s", timeout="1h")


async def _invokes(ctx: Any) -> None:
    await ctx.step.invoke("a", function="app-fn")


async def _parallel(ctx: Any) -> None:
    await asyncio.gather(ctx.step.run("a", give, 1), ctx.step.run("b", give, 2))


def _parallel_plain(ctx: Any) -> None:
    ctx.step.parallel(lambda: _two_plain(ctx), lambda: ctx.step.run("c", give, 1))


OTHER_RESULT = "the journal has the result of another kind of step for it"
OLD = hash_step_id("old")
ASKED_A = f'the journal has step {OLD} here, this replay asked for "a" instead'
ORDER = f'the journal has step {hash_step_id("b")} here, this replay asked for "a" instead'


@pytest.mark.parametrize(
    ("handler", "memos", "problems"),
    [
        (_two, {"a": data(1)}, []),
        (_two, {"old": data(1)}, [ASKED_A]),
        (_two, {"old": data(1), "a": data(1), "b": data(1)}, [ASKED_A]),
        (_two, {"b": data(2), "a": data(1)}, [ORDER]),
        (_two_plain, {"old": data(1)}, [ASKED_A]),
        (_two_plain, {"b": data(2), "a": data(1)}, [ORDER]),
        (_parallel, {"b": data(2), "a": data(1)}, []),
        (_parallel_plain, {"c": data(2), "a": data(1)}, []),
        (_nothing, {"old": data(1)}, [f"the journal has step {OLD} here, this replay asked for no other step instead"]),
        (
            _nothing_plain,
            {"old": data(1)},
            [f"the journal has step {OLD} here, this replay asked for no other step instead"],
        ),
        (
            _sleeps,
            {"a": data(1)},
            ['step "a" is a sleep now, the journal has the result of another kind of step for it'],
        ),
        (_two, {"a": None}, ['step "a" is a run now, the journal has a sleep or a timed-out wait for it']),
        (_waits, {"a": None}, []),
        (_waits, {"a": {"name": "x/y", "data": {}}}, []),
        (_waits, {"a": data(1)}, [f'step "a" is a wait for an event now, {OTHER_RESULT}']),
        (_waits, {"a": failed("no")}, [f'step "a" is a wait for an event now, {OTHER_RESULT}']),
        (_listens, {"a": None}, []),
        (_listens, {"a": data({"signal": "s", "data": 1})}, []),
        (_listens, {"a": failed("conflict")}, []),
        (_listens, {"a": data(1)}, [f'step "a" is a wait for a signal now, {OTHER_RESULT}']),
        (_listens, {"a": {"name": "x/y", "data": {}}}, [f'step "a" is a wait for a signal now, {OTHER_RESULT}']),
        (_invokes, {"a": data(None)}, []),
        (_invokes, {"a": {"type": "x", **failed("no")}}, []),
        (_invokes, {"a": None}, ['step "a" is an invocation now, the journal has a sleep or a timed-out wait for it']),
        (_invokes, {"a": {"name": "x/y", "data": {}}}, [f'step "a" is an invocation now, {OTHER_RESULT}']),
    ],
)
async def test_a_difference_is_reported_once(
    handler: Callable[[Any], Any], memos: Mapping[str, Any], problems: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names function, run, step, what was recorded, what was found, and the fix."""
    with caplog.at_level(logging.WARNING, logger="stepwell"):
        await call(handler, memos)

    assert [record.getMessage() for record in caplog.records] == [
        f'function "app-fn", run {RUN_ID}: the replay differs from the journal: {problem}. Decide by the event and '
        "step results alone, and give a changed step a new id, e.g. with a version in it"
        for problem in problems
    ]


async def test_a_difference_does_not_fail_the_run() -> None:
    """The function goes on with the memos it asks for."""
    memos = {"b": data(2), "old": data(3), "a": data(1)}

    assert result(await call(_two, memos)) is None


async def test_a_targeted_call_reports_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A call that stops at its target has not looked at the rest."""
    await call(_two, {"old": data(1)}, target="a")

    assert caplog.records == []


async def test_a_memo_outside_the_stack_raises_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    """Only the stack says in which order steps were asked for."""
    await call(_two, {"old": data(1)}, stack=[])

    assert caplog.records == []


async def test_a_background_task_that_is_overtaken_raises_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    """A function that returns before a task of its own has reached its step has not changed its mind."""

    async def handler(ctx: Any) -> None:
        async def branch() -> None:
            for _ in range(9):
                await asyncio.sleep(0)
            await ctx.step.run("b", give, 1)

        asyncio.create_task(branch())  # noqa: RUF006 - dropping it is the point
        await ctx.step.run("a", give, 1)

    assert result(await call(handler, {"a": data(1), "b": data(1)})) is None
    assert caplog.records == []
