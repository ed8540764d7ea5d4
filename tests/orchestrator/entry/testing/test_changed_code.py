"""Code that changes under a run: whatever a step was, the run completes with what it is now."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

import stepwell
from stepwell.testing import Engine
from stepwell_orchestrator.model.step_kind import StepKind

Ask = Callable[[stepwell.Context], Awaitable[Any]]
REQUESTED: Final = {StepKind.RUN, StepKind.INFER, StepKind.FETCH}
ASKS: Final[dict[StepKind, Ask]] = {
    StepKind.RUN: lambda ctx: ctx.step.run("x", lambda: "ran"),
    StepKind.SLEEP: lambda ctx: ctx.step.sleep("x", "2h"),
    StepKind.WAIT_FOR_EVENT: lambda ctx: ctx.step.wait_for_event("x", event="paid", timeout="2h"),
    StepKind.WAIT_FOR_SIGNAL: lambda ctx: ctx.step.wait_for_signal("x", signal="go", timeout="2h"),
    StepKind.INVOKE: lambda ctx: ctx.step.invoke("x", function="changing-child", data={}),
    StepKind.INFER: lambda ctx: ctx.step.ai.infer(
        "x", model=stepwell.ai.openai("gpt-test", api_key="key"), body={"messages": []}
    ),
    StepKind.FETCH: lambda ctx: ctx.step.fetch("x", "http://api.test/x"),
}


def serving(ask: Ask) -> stepwell.App:
    """A function that waits for whichever comes first of a step and a tick, and then for the step."""
    app = stepwell.App("changing", dev=True)

    @app.function(on="go")
    async def changing(ctx: stepwell.Context) -> str:
        x = asyncio.ensure_future(ask(ctx))
        tick = asyncio.ensure_future(ctx.step.sleep("tick", "5s"))
        await asyncio.wait({x, tick}, return_when=asyncio.FIRST_COMPLETED)
        await tick
        await x
        return await ctx.step.run("after", lambda: "done")

    @app.function()
    async def child(ctx: stepwell.Context) -> str:
        await ctx.step.sleep("nap", "1h")
        return "child"

    return app


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(StepKind, 2)))
async def test_a_run_completes_whatever_a_step_becomes(engine: Engine, old: StepKind, new: StepKind) -> None:
    """What the step was holds nothing up, what it is now goes on, and what comes for the old one later is ignored."""
    if old in REQUESTED:
        engine.fail_step("x", times=1)
    engine.serve(serving(ASKS[old]))
    run = await engine.send_one("go")
    assert not run.step("x").over
    engine.serve(serving(ASKS[new]))
    if new in (StepKind.INFER, StepKind.FETCH):
        engine.stub("x", {"ok": True})
    await engine.advance("10s")
    await engine.send("paid")
    await engine.send_signal("go")
    await engine.advance("3h")
    assert (run.completed, run.output) == (True, "done"), run.timeline()


async def test_a_sleep_that_ends_a_call_takes_no_call_more(engine: Engine) -> None:
    """A step, a sleep and a step are two calls."""
    app, calls = stepwell.App("shop", dev=True), []

    @app.function(on="order/created")
    async def fulfil(ctx: stepwell.Context) -> str:
        calls.append(ctx.attempt)
        await ctx.step.run("reserve", lambda: 1)
        await ctx.step.sleep("cool-off", "30s")
        await ctx.step.run("charge", lambda: 2)
        return "done"

    engine.serve(app)
    run = await engine.send_one("order/created")
    await engine.advance("30s")
    assert run.output == "done"
    assert calls == [0, 0]
