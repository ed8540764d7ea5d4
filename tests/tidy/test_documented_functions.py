from __future__ import annotations

import ast
import re
import sys
import types

import pytest

import stepwell
from stepwell_orchestrator.model.run import RunStatus
from tests.examples.engine import ServedExample
from tests.tidy.pages import Page, pages

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


@pytest.mark.parametrize("path", WITH_PYTHON)
def test_python_blocks_run(path: str, namespace: types.ModuleType) -> None:
    """The Python blocks of a page run one after another, so that a reader may type them in as they stand."""
    assert namespace.__name__ in sys.modules, path


@pytest.mark.parametrize("path", WITH_SAMPLES)
async def test_documented_functions_do_what_they_say(path: str, namespace: types.ModuleType) -> None:
    """The functions of a page, run on the real engine with the page's sample events, end as the page says."""
    for sample in WITH_PYTHON[path].samples():
        async with ServedExample(namespace.app) as engine:
            event = stepwell.Event(name=sample.name, data=sample.data)
            runs = [run.header for run in await engine.send(event, runs=sample.runs)]
        failed = {run.event_name for run in runs if run.status is not RunStatus.COMPLETED}
        assert sample.name in {run.event_name for run in runs}
        assert failed == ({sample.name} if sample.fails else set()), f"{sample}: {[run.outcome for run in runs]}"
