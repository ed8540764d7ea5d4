"""Debounces and batches in a test: they fire on its time. The timelines of the guides are drawn by the same runs."""

from __future__ import annotations

import datetime as dt
import types
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import stepwell
from stepwell_orchestrator.entry.testing.async_engine import AsyncEngine
from stepwell_orchestrator.entry.testing.run import Run
from tests.tidy.pages import pages

HALF_S_MS = 500
WIDTH = 72
LABEL = 9


def app_of(path: str) -> stepwell.App:
    """The app that the first Python block of a page defines."""
    page = next(page for page in pages() if page.path == path)
    module = types.ModuleType("page")
    exec(next(block.text for block in page.blocks("python")), module.__dict__)
    app: stepwell.App = module.__dict__["app"]
    return app


def timeline_of(path: str) -> str:
    """The timeline of a page."""
    page = next(page for page in pages() if page.path == path)
    return next(block.text for block in page.blocks("text") if block.note.startswith("timeline: "))


def row(label: str, marks: Mapping[int, str]) -> str:
    """A line with marks at their times, in steps of half a second."""
    line = [" "] * WIDTH
    for step, mark in marks.items():
        line[step : step + len(mark)] = mark
    return f"{label:<{LABEL}}{''.join(line)}".rstrip()


async def played(
    app: stepwell.App, what: str, events: Sequence[tuple[float, str, dict[str, Any]]]
) -> tuple[str, list[Any]]:
    """Send events at their seconds. Returns the timeline, and what the runs returned."""
    sent: dict[int, str] = {}
    ran: dict[int, str] = {}
    async with AsyncEngine() as engine:
        engine.serve(app)
        start = engine.now
        await engine.advance_to(start + dt.timedelta(milliseconds=HALF_S_MS - 1))
        for step in range(WIDTH):
            for at_s, name, data in events:
                if at_s * 2 == step:  # a millisecond passes as it is sent
                    sent[step] = str(len(sent) + 1)
                    await engine.send(name, {**data, "number": sent[step]})
            await engine.advance_to(start + dt.timedelta(milliseconds=(step + 2) * HALF_S_MS - 1))
            for run in engine.runs[len(ran) :]:
                ran[step] = numbers_of(run)
        outputs = [run.output for run in engine.runs]
    seconds = row("seconds", {step: str(step // 2) for step in range(0, WIDTH - 1, 10)})
    return "\n".join((seconds, row(what, sent), row("runs", ran))) + "\n", outputs


def numbers_of(run: Run) -> str:
    """The numbers of a run's events."""
    return "".join(event.data["number"] for event in run._run.events)


DEBOUNCED = [(at_s, "doc/edited", {"doc": "a", "version": n}) for n, at_s in enumerate((0, 4, 9, 25), 1)]
BATCHED = [(at_s, "mail/due", {"to": str(n)}) for n, at_s in enumerate((0, 2, 5, 15, 19), 1)]


@pytest.mark.parametrize(
    ("path", "what", "events", "outputs"),
    [
        ("docs/guides/debounce.md", "edits", DEBOUNCED, [3, 4]),
        ("docs/guides/batching.md", "mails", BATCHED, [["1", "2", "3"], ["4", "5"]]),
    ],
)
async def test_the_timeline_of_a_guide_is_that_of_its_function(
    path: str, what: str, events: list[tuple[float, str, dict[str, Any]]], outputs: list[Any]
) -> None:
    """What a guide draws is what its own function did on the test's time."""
    timeline, returned = await played(app_of(path), what, events)
    assert returned == outputs
    assert timeline == timeline_of(path)


async def test_everybody_whose_invocation_is_in_a_batch_gets_its_result() -> None:
    """Two runs invoke a function that batches: one run of it answers both."""
    app = stepwell.App("mail")

    @app.function(batch=stepwell.Batch(2, "1m"))
    async def send(ctx: stepwell.Context) -> list[str]:
        return [event.data["to"] for event in ctx.events]

    @app.function(on="user/added")
    async def welcome(ctx: stepwell.Context) -> list[str]:
        return await ctx.step.invoke("mail", function=send, data={"to": ctx.event.data["user"]})

    async with AsyncEngine() as engine:
        engine.serve(app)
        for user in ("ada", "bob"):
            await engine.send("user/added", {"user": user})
            await engine.settle()
        outputs: dict[str, list[Any]] = {run.function: [] for run in engine.runs}
        for run in engine.runs:
            outputs[run.function].append(run.output)
        assert outputs == {"mail-welcome": [["ada", "bob"]] * 2, "mail-send": [["ada", "bob"]]}


async def test_only_the_invocation_that_a_debounce_runs_is_answered() -> None:
    """The step whose event was superseded waits until its timeout."""
    app = stepwell.App("docs")

    @app.function(debounce=stepwell.Debounce("10s"))
    async def index(ctx: stepwell.Context) -> int:
        return int(ctx.event.data["version"])

    @app.function(on="doc/edited", retries=0)
    async def edit(ctx: stepwell.Context) -> int:
        return await ctx.step.invoke("index", function=index, data={"version": ctx.event.data["version"]}, timeout="1m")

    async with AsyncEngine() as engine:
        engine.serve(app)
        for version in (1, 2):
            await engine.send("doc/edited", {"version": version})
            await engine.settle()
        await engine.advance("2m")
        edits = [run for run in engine.runs if run.function == "docs-edit"]
        assert [(run.status, run.completed and run.output) for run in edits] == [("failed", False), ("completed", 2)]
        assert edits[0].error is not None
        assert edits[0].error.name == "InngestInvokeTimeoutError"


async def test_a_batch_with_a_failures_event_starts_no_loop() -> None:
    """A function that batches failures, and is invoked as well, tells nobody that it failed itself."""
    app = stepwell.App("watch")

    @app.function(on="inngest/function.failed", batch=stepwell.Batch(2, "1m"), retries=0)
    async def report(ctx: stepwell.Context) -> None:
        raise ValueError("broken too")

    @app.function(on="user/added", retries=0)
    async def welcome(ctx: stepwell.Context) -> None:
        await ctx.step.invoke("report", function=report, data={"user": ctx.event.data["user"]}, timeout="30s")

    @app.function(on="user/lost", retries=0)
    async def part(ctx: stepwell.Context) -> None:
        raise ValueError("broken")

    async with AsyncEngine() as engine:
        engine.serve(app)
        await engine.send("user/added", {"user": "ada"})
        await engine.settle()
        await engine.send("user/lost")
        await engine.advance("10m")
        failed = [event.data["function_id"] for event in engine.sent("inngest/function.failed")]
        assert failed == ["watch-part", "watch-welcome"]
        assert [run.function for run in engine.runs].count("watch-report") == 2


async def test_crashes_everywhere_leave_one_run_of_each_batch_and_debounce() -> None:
    """Wherever a worker dies, and with every delivery made twice, the same runs come out."""
    app = stepwell.App("both")

    @app.function(on="doc/edited", debounce=stepwell.Debounce("10s"))
    async def index(ctx: stepwell.Context) -> int:
        return int(ctx.event.data["n"])

    @app.function(on="doc/edited", batch=stepwell.Batch(2, "1m"))
    async def gather(ctx: stepwell.Context) -> list[int]:
        return [event.data["n"] for event in ctx.events]

    async def scenario(engine: AsyncEngine) -> None:
        engine.serve(app)
        for n in (1, 2, 3):
            await engine.send("doc/edited", {"n": n})
        await engine.advance("2m")
        outputs = sorted(str(run.output) for run in engine.runs)
        assert outputs == ["3", "[1, 2]", "[3]"]

    async with AsyncEngine() as engine:
        await engine.crash_everywhere(scenario)
