from __future__ import annotations

import ast
import re
import sys
import types

import pytest
from tests.tidy.pages import Page, Sample, pages

import stepwell
from stepwell_orchestrator.entry.embedded import Embedded
from stepwell_orchestrator.local.virtual_clock import VirtualClock
from stepwell_orchestrator.model.run import RunHeader, RunStatus
from stepwell_orchestrator.ports import RunFilter

WITH_PYTHON = {page.path: page for page in pages() if any(page.blocks("python"))}
WITH_SAMPLES = [page.path for page in WITH_PYTHON.values() if any(page.samples())]


@pytest.fixture
def namespace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """What a page's Python blocks define, run one after another; a block marked so is only compiled."""
    page: Page = WITH_PYTHON[request.node.callspec.params["path"]]
    module = types.ModuleType("page_" + re.sub(r"\W", "_", page.path))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in page.blocks("python"):
        flags = 0 if block.runs else ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile("\n" * (block.line - 1) + block.text, page.path, "exec", flags, dont_inherit=True)
        if block.runs:
            exec(code, module.__dict__)
    return module


async def runs_of(app: stepwell.App, sample: Sample) -> list[RunHeader]:
    """The runs that a sample starts on a real engine, followed through virtual time to their ends."""
    clock = VirtualClock()
    engine = Embedded(clock=clock)
    await engine.serve(app)
    await engine.send(stepwell.Event(name=sample.name, data=sample.data))
    await engine.pump.drain()
    while (at_ms := await engine.queue.next_at_ms()) is not None:
        await clock.advance(at_ms - clock.now_ms())
        await engine.pump.drain()
    runs = await engine.journal.list_runs(RunFilter(), cursor=None, limit=100)
    async with engine:
        return runs


@pytest.mark.parametrize("path", WITH_PYTHON)
def test_python_blocks_run(path: str, namespace: types.ModuleType) -> None:
    """The Python blocks of a page run one after another, so that a reader may type them in as they stand."""
    assert namespace.__name__ in sys.modules, path


@pytest.mark.parametrize("path", WITH_SAMPLES)
async def test_documented_functions_do_what_they_say(path: str, namespace: types.ModuleType) -> None:
    """The functions of a page, run on the real engine with the page's sample events, end as the page says."""
    for sample in WITH_PYTHON[path].samples():
        runs = await runs_of(namespace.app, sample)
        failed = {run.event_name for run in runs if run.status is not RunStatus.COMPLETED}
        assert sample.name in {run.event_name for run in runs}, f"nothing in {path} is triggered by {sample.name}"
        assert failed == ({sample.name} if sample.fails else set()), f"{sample}: {[run.outcome for run in runs]}"
