"""A replay runs no step, sends nothing, and does not wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stepwell
from stepwell_orchestrator.cli.replay_check.judging import judge
from stepwell_orchestrator.cli.replay_check.recording import Recording, read_recording
from stepwell_orchestrator.cli.replay_check.replaying import replay_journal
from stepwell_orchestrator.cli.replay_check.report import Kind, Report
from tests.orchestrator.cli.replay_check.support import START, app_of, checked, checked_by, cut, record, write
from tests.patience import Patience

PATIENCE = Patience()


def bodies(ran: list[str]) -> Callable[[Any], Any]:
    """A function whose steps say that they ran."""

    async def fulfil(ctx: Any) -> Any:
        await ctx.step.run("first", ran.append, "first")
        await ctx.step.send_event("tell", stepwell.Event(name="shop/told"))
        await asyncio.gather(ctx.step.run("a", ran.append, "a"), ctx.step.run("b", ran.append, "b"))

    return fulfil


async def test_no_step_runs(tmp_path: Path) -> None:
    """Neither a step that is next, nor one of several, nor a send is executed, however much of the journal there is."""
    ran: list[str] = []
    journal = await record(bodies(ran))
    assert sorted(ran) == ["a", "b", "first"]
    ran.clear()
    for count in range(5):
        report = await checked(bodies(ran), cut(journal, count), tmp_path)
        assert report.difference is None
        assert len(report.goes_on) == (1, 1, 2, 1, 0)[count]
    assert ran == []


async def test_nothing_is_sent_between_the_steps(tmp_path: Path) -> None:
    """What the code sends by its app is accepted, goes nowhere, and afterwards the app is as it was."""

    class Refuses:
        async def send_events(self, events: Any, seed: Any) -> list[str]:
            raise AssertionError("an event was sent")

        async def send_signal(self, signal: str, data: Any) -> str | None:
            raise AssertionError("a signal was sent")

    app = stepwell.App("shop", dev=True)
    transport = app.transport = Refuses()

    async def quiet(ctx: Any) -> Any:
        return await ctx.step.run("a", str)

    @app.function(on=START)
    async def fulfil(ctx: stepwell.Context) -> Any:
        [event_id] = await app.send(stepwell.Event(name="shop/seen"))
        assert len(event_id) == 26
        assert await app.send_signal("seen") is None
        return await quiet(ctx)

    journal = await record(quiet)
    assert (await checked_by(app, journal, tmp_path)).difference is None
    assert app.transport is transport


async def two(ctx: Any) -> Any:
    await ctx.step.run("a", str)
    await ctx.step.run("b", str)


async def nothing() -> None:
    await asyncio.get_running_loop().create_future()


async def hangs(ctx: Any) -> Any:
    await ctx.step.run("a", str)
    PATIENCE.end()
    await nothing()


async def hangs_beside_a_step(ctx: Any) -> Any:
    await ctx.step.run("a", str)
    await asyncio.gather(ctx.step.run("c", str), nothing())


@pytest.mark.parametrize("now", [hangs, hangs_beside_a_step])
async def test_code_that_waits_for_something_else_is_given_up(now: Callable[[Any], Any], tmp_path: Path) -> None:
    """Code that never comes to rest, alone or beside a step, is reported with the last step that it took."""
    recording = read_recording(write(await record(two), tmp_path / "journal.json"))
    report = await judged(now, recording)
    assert report.difference is not None
    assert (report.difference.kind, str(report.difference.after)) == (Kind.STUCK, '"a" (run)')


async def judged(handler: Callable[[Any], Any], recording: Recording) -> Report:
    """The report of a replay that is given up early."""
    app = app_of(handler)
    replayed = await replay_journal(app, app.functions["fulfil"], recording, rest_s=0, timeout=PATIENCE)
    return judge(recording, replayed, ignore_output=False)


async def test_a_step_with_a_display_name_is_shown_by_what_is_known(tmp_path: Path) -> None:
    """A repeated id is shown with its number, and a name that is not the id with the beginning of its hash."""

    async def repeats(ctx: Any) -> Any:
        await ctx.step.run("a", str)
        await ctx.step.run("a", str)
        await ctx.step.run(stepwell.StepOptions("b", name="The last"), str)

    recording = read_recording(write(await record(repeats), tmp_path / "journal.json"))
    assert [recording.label(step_id) for step_id in recording.stack] == ["a", "a:1", "The last (e9d71f5e)"]


async def test_a_step_that_failed_for_good_raises_as_it_did(tmp_path: Path) -> None:
    """A recorded failure of a step is raised where the step is awaited, to be caught there."""

    async def recovers(ctx: Any) -> Any:
        try:
            await ctx.step.run(stepwell.StepOptions("bad", retries=0), lambda: 1 / 0)
        except stepwell.StepError as error:
            return await ctx.step.run("recover", str, error.name)

    recording = read_recording(write(await record(recovers), tmp_path / "journal.json"))
    assert recording.outcome is not None
    assert recording.outcome.output == "ZeroDivisionError"
    assert (await judged(recovers, recording)).difference is None
