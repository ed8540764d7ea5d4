"""``ctx.logger`` on the real engine: every line once, whatever ends the calls."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import stepwell
from stepwell.testing import Engine


async def _work() -> int:
    return 1


class _Flaky:
    """A body, or a part of a function, that fails so many times."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    def __call__(self) -> None:
        self.left -= 1
        if self.left >= 0:
            raise ValueError("not yet")


async def _sleeps_and_retries(ctx: stepwell.Context, flaky: _Flaky) -> None:
    ctx.logger.info("start")
    await ctx.step.run("a", _work)
    ctx.logger.info("before the sleep")
    await ctx.step.sleep("z", "1m")
    ctx.logger.info("before the flaky step")
    await ctx.step.run("b", flaky)
    ctx.logger.info("end")


async def _fails_itself(ctx: stepwell.Context, flaky: _Flaky) -> None:
    ctx.logger.info("start")
    await ctx.step.run("a", _work)
    ctx.logger.info("before the failure")
    flaky()
    ctx.logger.info("after the failure")
    await ctx.step.sleep("z", "1m")
    ctx.logger.info("end")


async def _waits(ctx: stepwell.Context, flaky: _Flaky) -> None:
    ctx.logger.info("start")
    await ctx.step.wait_for_event("w", event="never", timeout="1m")
    ctx.logger.info("nothing came")
    ctx.logger.info("nothing came, again")
    await ctx.step.sleep("z", "1m")
    await ctx.step.run("b", flaky)
    ctx.logger.info("end")


async def _joins(ctx: stepwell.Context, flaky: _Flaky) -> None:
    async def branch(name: str, minutes: int) -> None:
        await ctx.step.sleep(f"{name}-nap", f"{minutes}m")
        ctx.logger.info("%s awake", name)
        await ctx.step.run(f"{name}-work", flaky)
        ctx.logger.info("%s done", name)

    ctx.logger.info("start")
    await asyncio.gather(branch("first", 1), branch("second", 2))
    ctx.logger.info("end")


async def _loops(ctx: stepwell.Context, flaky: _Flaky) -> None:
    for round_ in range(3):
        ctx.logger.info("round %d", round_)
        await ctx.step.run("work", flaky)
        await ctx.step.sleep("pace", "1m")
    ctx.logger.info("end")


def _plain(ctx: stepwell.SyncContext, flaky: _Flaky) -> None:
    ctx.logger.info("start")
    ctx.step.run("a", _work)
    ctx.logger.info("before the sleep")
    ctx.step.sleep("z", "1m")
    ctx.logger.info("before the flaky step")
    ctx.step.run("b", flaky)
    ctx.logger.info("end")


LINES = {
    _sleeps_and_retries: ["start", "before the sleep", "before the flaky step", "end"],
    _fails_itself: ["start", "before the failure", "after the failure", "end"],
    _waits: ["start", "nothing came", "nothing came, again", "end"],
    _joins: ["start", "first awake", "first done", "second awake", "second done", "end"],
    _loops: ["round 0", "round 1", "round 2", "end"],
    _plain: ["start", "before the sleep", "before the flaky step", "end"],
}


@pytest.mark.parametrize("checkpoint", [True, False])
@pytest.mark.parametrize("failures", [0, 2])
@pytest.mark.parametrize("handler", LINES)
async def test_each_line_is_logged_once(
    handler: Any, failures: int, checkpoint: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Across sleeps, waits, parallel branches and retries, of steps and of the function, in many calls or in few."""
    app = stepwell.App("t", checkpoint=checkpoint)
    flaky = _Flaky(failures)

    if handler is _plain:

        @app.function(id="f", on="e")
        def plain(ctx: stepwell.SyncContext) -> None:
            handler(ctx, flaky)
    else:

        @app.function(id="f", on="e")
        async def coroutine(ctx: stepwell.Context) -> None:
            await handler(ctx, flaky)

    async with Engine() as engine:
        engine.serve(app)
        with caplog.at_level(logging.INFO, logger="stepwell.function"):
            run = await engine.send_one("e")
            await engine.advance("1h")

        assert run.completed
    assert sorted(record.getMessage() for record in caplog.records) == sorted(LINES[handler])
