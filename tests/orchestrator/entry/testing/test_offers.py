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
