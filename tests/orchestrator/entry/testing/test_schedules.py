"""Schedules on the test's own time."""

from __future__ import annotations

import datetime as dt

import pytest

import stepwell
from stepwell.testing import Engine

app = stepwell.App("clockwork")


@app.function(on=[stepwell.cron("30 1 * * *", tz="Europe/London"), "report/asked-for"])
async def report(ctx: stepwell.Context) -> str:
    """When it was made for."""

    async def make() -> str:
        return str(ctx.event.data.get("scheduledAt", "now"))

    return await ctx.step.run("make", make)


@app.function(on=stepwell.cron("@hourly", jitter="5m"))
async def hourly(ctx: stepwell.Context) -> int:
    """When it began."""
    return ctx.event.ts


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-28T12:00", ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]),
        ("2026-10-24T12:00", ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"]),
    ],
)
async def test_advance_fires_schedules_across_changing_clocks(now: str, expected: list[str]):
    """Time that passes lets schedules tick on the way, each once a day, also where the clocks change."""
    async with Engine(now=dt.datetime.fromisoformat(now).replace(tzinfo=dt.UTC)) as engine:
        engine.serve(app)
        await engine.settle()
        await engine.advance("3d5m")
        runs = [run for run in engine.runs if run.function == "clockwork-report"]
        assert [run.output for run in runs] == expected
        assert len([run for run in engine.runs if run.function == "clockwork-hourly"]) == 72


async def test_events_and_schedules_start_one_function():
    """A function that has a schedule is started by its events as ever."""
    async with Engine() as engine:
        engine.serve(app)
        run = await engine.send_one("report/asked-for", {})
        assert run.output == "now"


async def test_jitter_is_the_same_in_every_test():
    """A tick is late by some seconds of its jitter, and by as many in the next test."""
    ticked = []
    for _ in range(2):
        async with Engine() as engine:
            engine.serve(app)
            await engine.settle()
            await engine.advance("6h")
            ticked.append([run.output for run in engine.runs if run.function == "clockwork-hourly"])
    first, again = ticked
    assert first == again
    assert len({at_ms % 3_600_000 for at_ms in first}) > 1


async def test_ticks_survive_a_crash_anywhere(engine: Engine):
    """Whatever a worker dies at, each tick has its run, and a tick delivered twice has one."""

    async def scenario(engine: Engine) -> None:
        engine.serve(app)
        await engine.settle()
        await engine.advance("2h")
        assert [run.output for run in engine.runs if run.function == "clockwork-report"] == ["2026-01-01T01:30:00Z"]

    await engine.crash_everywhere(scenario)
