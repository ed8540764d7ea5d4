"""A replay that differs from the journal is reported, and goes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stepwell.wire.ids import hash_step_id
from tests.adapter.executing.support import call, data, give, result
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


PLACE = re.compile(r" \([^()]*:\d+\)")
OTHER_RESULT = "the journal has the result of another kind of step for it"
OLD = hash_step_id("old")
ASKED_A = f'the journal has step {OLD} here, this replay asked for "a" instead'
ORDER = 'the journal has step "b" here, this replay asked for "a" instead'


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
    handler: Callable[[Any], Any], memos: Mapping[str, Any], problems: list[str]
) -> None:
    """The reply carries a warning that names function, step, what was recorded, what was found, and the fix."""
    outcome = await call(handler, memos)

    assert [PLACE.sub("", text) for text in outcome.warnings] == [
        f'function "app-fn": the replay differs from the journal: {problem}. Decide by the event and '
        "step results alone, and give a changed step a new id, e.g. with a version in it"
        for problem in problems
    ]


@pytest.mark.parametrize("handler", [_two, _two_plain])
async def test_a_difference_tells_where_the_function_asked(handler: Callable[[Any], Any]) -> None:
    """The warning has file and line of the step call, in functions of both styles."""
    (text,) = (await call(handler, {"old": data(1)})).warnings

    assert f'asked for "a" instead ({__file__}:{handler.__code__.co_firstlineno + 1}). Decide' in text


async def test_a_step_that_comes_later_is_called_by_its_name() -> None:
    """Steps that changed places are both named, although a call is sent no names."""

    async def in_turn(ctx: Any) -> None:
        await ctx.step.run("b", give, 2)
        await ctx.step.run("a", give, 1)

    (text,) = (await call(in_turn, {"a": data(1), "b": data(2)})).warnings
    assert 'the journal has step "a" here, this replay asked for "b" instead' in text


async def test_of_many_steps_the_first_are_named() -> None:
    """A function that asks for a hundred steps is told of five, and how many more there are."""

    async def many(ctx: Any) -> None:
        await asyncio.gather(*(ctx.step.run(f"s{number}", give, 1) for number in range(100)))

    (text,) = (await call(many, {"old": data(1)})).warnings
    assert 'asked for "s0", "s1", "s2", "s3", "s4", 95 more instead' in text


async def test_another_server_has_it_in_the_log_once_a_run(caplog: pytest.LogCaptureFixture) -> None:
    """A server that keeps no warnings gets the same calls again and again, and the log one line for each run."""
    for run_id in ("01HF7YAT00LOGGED0000000001", "01HF7YAT00LOGGED0000000001", "01HF7YAT00LOGGED0000000002"):
        await call(_two, {"old": data(1)}, run_id=run_id)

    texts = [record.getMessage().partition(": the replay differs")[0] for record in caplog.records]
    assert texts == [f'function "app-fn", run 01HF7YAT00LOGGED000000000{number}' for number in (1, 2)]


async def test_our_own_server_keeps_it_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The run shows the warning, in the server's log as well: once is enough."""
    outcome = await call(_two, {"old": data(1)}, from_stepwell=True)

    assert len(outcome.warnings) == 1
    assert caplog.records == []


async def test_a_difference_does_not_fail_the_run() -> None:
    """The function goes on with the memos it asks for."""
    memos = {"b": data(2), "old": data(3), "a": data(1)}

    assert result(await call(_two, memos)) is None


async def test_a_targeted_call_reports_nothing() -> None:
    """A call that stops at its target has not looked at the rest."""
    assert (await call(_two, {"old": data(1)}, target="a")).warnings == ()


async def test_a_memo_outside_the_stack_raises_no_alarm() -> None:
    """Only the stack says in which order steps were asked for."""
    assert (await call(_two, {"old": data(1)}, stack=[])).warnings == ()


async def test_a_background_task_that_is_overtaken_raises_no_alarm() -> None:
    """A function that returns before a task of its own has reached its step has not changed its mind."""

    async def handler(ctx: Any) -> None:
        async def branch() -> None:
            for _ in range(9):
                await asyncio.sleep(0)
            await ctx.step.run("b", give, 1)

        asyncio.create_task(branch())  # noqa: RUF006 - dropping it is the point
        await ctx.step.run("a", give, 1)

    outcome = await call(handler, {"a": data(1), "b": data(1)})
    assert result(outcome) is None
    assert not any("differs from the journal" in text for text in outcome.warnings)
