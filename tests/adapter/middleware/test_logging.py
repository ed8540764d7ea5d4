from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

import stepwell
from stepwell.middleware import Logging
from stepwell.testing import Engine


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, without function and run."""
    records = [record for record in caplog.records if record.name == "stepwell.middleware"]
    return [f"{record.levelname} {record.getMessage().partition(': ')[2]}" for record in records]


async def test_what_is_executed_is_logged_once(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """A run of several calls and a retry logs each execution once, and nothing of its replays or values."""
    caplog.set_level(logging.INFO, "stepwell.middleware")
    app = stepwell.App("shop", dev=True, middleware=[Logging()])
    attempts: list[int] = []

    def charge() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("declined")
        return "secret"

    @app.function(on="order/paid")
    async def pay(ctx: stepwell.Context) -> str:
        await ctx.step.run("prepare", str)
        await ctx.step.sleep("nap", "1h")
        return await ctx.step.run("charge", charge)

    engine.serve(app)
    run = await engine.send_one("order/paid")
    await engine.advance("2h")
    assert run.completed
    assert lines_of(caplog) == [
        "INFO run started",
        'INFO step "prepare" started',
        'INFO step "prepare" ended after 0 ms',
        'INFO step "charge" started',
        'WARNING step "charge" failed: ValueError: declined after 0 ms',
        'INFO step "charge" started',
        'INFO step "charge" ended after 0 ms',
        "INFO run ended",
    ]
    assert "secret" not in caplog.text


async def test_parallel_steps_are_one_start(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Calls for single steps of a run that has nothing stored yet do not count as another start."""
    caplog.set_level(logging.INFO, "stepwell.middleware")
    app = stepwell.App("shop", dev=True, middleware=[Logging()])

    @app.function(on="order/paid")
    async def pay(ctx: stepwell.Context) -> None:
        one, two = ctx.step.run("a", str), ctx.step.run("b", str)
        await one
        await two

    engine.serve(app)
    await engine.send_one("order/paid")
    assert lines_of(caplog).count("INFO run started") == 1
    assert lines_of(caplog).count("INFO run ended") == 1


async def test_records_have_facts(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """Each record names function, run, attempt and step, and says how long the step took by the engine's clock."""
    caplog.set_level(logging.DEBUG, "stepwell.middleware")
    now = [1_000]

    class Clocked(stepwell.Middleware):
        """Lets a step take 250 ms."""

        def before_execution(self, step: Any) -> None:
            now[0] += 250

    def with_clock(scope: Any) -> stepwell.Middleware:
        return Logging(level=logging.DEBUG)(replace(scope, now_ms=lambda: now[0]))

    app = stepwell.App("shop", dev=True, middleware=[with_clock, Clocked])

    @app.function(on="order/paid", retries=0)
    async def pay(ctx: stepwell.Context) -> None:
        await ctx.step.run("a", str)
        raise LookupError("gone")

    engine.serve(app)
    run = await engine.send_one("order/paid")
    facts = [
        (record.levelname, record.function, record.run_id, record.attempt, record.step, record.duration_ms)
        for record in caplog.records
        if record.name == "stepwell.middleware"
    ]
    assert facts == [
        ("DEBUG", "shop-pay", run.id, 0, None, None),
        ("DEBUG", "shop-pay", run.id, 0, "a", None),
        ("DEBUG", "shop-pay", run.id, 0, "a", 250),
        ("WARNING", "shop-pay", run.id, 0, None, None),
    ]
