"""``ctx.logger``: a line is logged once, however often its function replays."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.adapter.executing.support import RUN_ID, call, data, finish, give


async def _talks(ctx: Any) -> None:
    def body() -> None:
        ctx.logger.info("in the body")

    ctx.logger.info("start")
    await ctx.step.run("a", give, 1)
    ctx.logger.info("between")
    await ctx.step.run("b", body)
    ctx.logger.info("end")


def _talks_plainly(ctx: Any) -> None:
    ctx.logger.info("start")
    ctx.step.run("a", give, 1)
    ctx.logger.info("between")
    ctx.step.run("b", lambda: ctx.logger.info("in the body"))
    ctx.logger.info("end")


@pytest.mark.parametrize("handler", [_talks, _talks_plainly])
async def test_each_line_is_logged_once(handler: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Over all calls of a run every line appears once, in order."""
    with caplog.at_level(logging.INFO, logger="stepwell.function"):
        await finish(handler)

    assert [record.getMessage() for record in caplog.records] == ["start", "between", "in the body", "end"]


async def test_a_targeted_call_logs_its_body_alone(caplog: pytest.LogCaptureFixture) -> None:
    """What leads to a planned step was logged by the discovery that planned it."""
    with caplog.at_level(logging.INFO, logger="stepwell.function"):
        await call(_talks, {"a": data(1)}, target="b")

    assert [record.getMessage() for record in caplog.records] == ["in the body"]


async def test_a_record_names_function_and_run(caplog: pytest.LogCaptureFixture) -> None:
    """Records carry what a log is searched by."""
    with caplog.at_level(logging.INFO, logger="stepwell.function"):
        await call(_talks)

    record: Any = caplog.records[0]
    assert (record.function, record.run_id) == ("app-fn", RUN_ID)


def _between(ctx: Any) -> None:
    ctx.logger.info("start")
    ctx.step.run("a", give, 1)
    ctx.logger.info("one")
    ctx.logger.debug("two")
    ctx.step.run("b", give, 2)
    ctx.logger.info("end")


async def _between_steps(ctx: Any) -> None:
    ctx.logger.info("start")
    await ctx.step.run("a", give, 1)
    ctx.logger.info("one")
    ctx.logger.debug("two")
    await ctx.step.run("b", give, 2)
    ctx.logger.info("end")


SAID = [
    ((0, 0), {}, ["start"], (0, 1)),
    ((0, 1), {}, [], (0, 1)),
    ((0, 1), {"a": data(1)}, ["one"], (1, 2)),
    ((0, 0), {"a": data(1)}, ["start", "one"], (1, 2)),
    ((1, 0), {"a": data(1)}, ["one"], (1, 2)),
    ((1, 1), {"a": data(1)}, [], (1, 2)),
    ((1, 2), {"a": data(1)}, [], (1, 2)),
    ((2, 7), {"a": data(1)}, [], (2, 7)),
]


@pytest.mark.parametrize("handler", [_between, _between_steps])
@pytest.mark.parametrize(("said", "memos", "lines", "told"), SAID)
async def test_a_call_says_what_earlier_calls_have_not(
    handler: Any, said: Any, memos: Any, lines: Any, told: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines beyond where the server knows the run to be are said, and counted at any level for the reply."""
    with caplog.at_level(logging.INFO, logger="stepwell.function"):
        outcome: Any = await call(handler, memos, said=said)

    assert [record.getMessage() for record in caplog.records] == lines
    assert outcome.said == told


@pytest.mark.parametrize("attempt", [0, 1])
async def test_a_retry_of_the_function_goes_on_where_it_failed(attempt: int, caplog: pytest.LogCaptureFixture) -> None:
    """What a failed attempt has said is not said again, and what it had not come to is."""

    async def handler(ctx: Any) -> None:
        ctx.logger.info("before")
        if attempt == 0:
            raise ValueError("not yet")
        ctx.logger.info("after")
        await ctx.step.sleep("nap", "1m")

    with caplog.at_level(logging.INFO, logger="stepwell.function"):
        outcome: Any = await call(handler, attempt=attempt, said=(0, attempt))

    assert [record.getMessage() for record in caplog.records] == (["before"] if attempt == 0 else ["after"])
    assert outcome.said == (0, 1 + attempt)


async def test_what_is_said_while_the_function_is_unwound_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A ``finally`` that runs because the call ends, and not the function, says nothing."""

    async def handler(ctx: Any) -> None:
        try:
            await ctx.step.sleep("nap", "1m")
        finally:
            ctx.logger.info("cleaned up")

    with caplog.at_level(logging.INFO, logger="stepwell.function"):
        unwound: Any = await call(handler, said=(0, 0))
        assert (unwound.said, caplog.records) == ((0, 0), [])
        await call(handler, {"nap": None}, said=(0, 0))

    assert [record.getMessage() for record in caplog.records] == ["cleaned up"]


async def test_a_targeted_call_tells_nothing_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    """Calls that execute planned steps run beside discoveries, and only those count."""
    with caplog.at_level(logging.INFO, logger="stepwell.function"):
        outcome: Any = await call(_talks, {"a": data(1)}, target="b", said=(0, 0))

    assert ([record.getMessage() for record in caplog.records], outcome.said) == (["in the body"], None)


async def test_a_server_that_does_not_ask_is_told_nothing() -> None:
    """Without the member in the call's context the reply has none."""
    outcome: Any = await call(_between_steps)

    assert outcome.said is None


async def test_a_record_shows_the_line_of_the_author(caplog: pytest.LogCaptureFixture) -> None:
    """The place of a record is where the function logs, and a level of the author's counts from there."""

    async def handler(ctx: Any) -> None:
        ctx.logger.warning("here")
        ctx.logger.log(logging.INFO, "there", stacklevel=1)
        await ctx.step.sleep("nap", "1m")

    with caplog.at_level(logging.INFO, logger="stepwell.function"):
        await call(handler)

    assert {(record.filename, record.funcName) for record in caplog.records} == {("test_logger.py", "handler")}
