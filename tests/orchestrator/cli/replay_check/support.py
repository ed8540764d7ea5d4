"""Recording a function's run on the real engine, and checking another function against it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import stepwell
from stepwell_orchestrator.cli.replay_check.checking import check_all
from stepwell_orchestrator.cli.replay_check.recording import read_recording
from stepwell_orchestrator.cli.replay_check.report import Report
from stepwell_orchestrator.views.journal_export import journal_body
from tests.orchestrator.scene import played

Handler = Callable[[Any], Any]
START = "shop/start"


def app_of(handler: Handler, *, retries: int = 0) -> stepwell.App:
    """An app whose only function is ``fulfil``."""
    app = stepwell.App("shop", dev=True)
    app.function(id="fulfil", on=START, retries=retries)(handler)
    return app


async def record(
    handler: Handler, *, data: dict[str, Any] | None = None, lasts: str = "1h", events: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The journal of a run: started, sent these events, and left alone for so long."""
    async with played(app_of(handler)) as scene:
        await scene.send(START, data)
        for name in events:
            await scene.send(name)
        await scene.later(lasts)
        body = journal_body(await scene.run("shop-fulfil"), scene.clock.now_ms())
    return json.loads(json.dumps(body))  # type: ignore[no-any-return]


def cut(journal: dict[str, Any], count: int) -> dict[str, Any]:
    """The journal as it was, in effect, when no more than ``count`` steps had finished: the others were not there."""
    stack = journal["stack"][:count]
    steps = [step for step in journal["steps"] if step["id"] in stack]
    return {**journal, "status": "Running", "stack": stack, "steps": steps, "outcome": None}


def write(journal: Any, path: Path) -> Path:
    """The journal as a file."""
    path.write_text(json.dumps(journal), encoding="utf-8")
    return path


async def checked(handler: Handler, journal: dict[str, Any], folder: Path, **options: Any) -> Report:
    """The report of a function that stands in the place of the one recorded."""
    return await checked_by(app_of(handler), journal, folder, **options)


async def checked_by(app: stepwell.App, journal: dict[str, Any], folder: Path, **options: Any) -> Report:
    """The report of an app."""
    [report] = await check_all(app, [read_recording(write(journal, folder / "journal.json"))], **options)
    return report


def names(journal: dict[str, Any]) -> list[str]:
    """The names of the finished steps, in order."""
    known = {step["id"]: step["name"] for step in journal["steps"]}
    return [known[step_id] for step_id in journal["stack"]]
