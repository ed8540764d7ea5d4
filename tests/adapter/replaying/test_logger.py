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
