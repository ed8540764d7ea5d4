"""What pytest finds when Stepwell is installed: the fixture ``engine``, and timelines in a failed test's report."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stepwell.testing import Engine, SyncEngine

_ENGINE: pytest.StashKey[Engine | SyncEngine] = pytest.StashKey()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine | SyncEngine]:
    """A fresh ``stepwell.testing.Engine``; in a test that is not ``async``, a ``SyncEngine``."""
    from stepwell.testing import Engine

    is_async = inspect.iscoroutinefunction(request.function)
    with closing(Engine() if is_async else Engine.sync()) as made:
        request.node.stash[_ENGINE] = made
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the runs that have not completed beside what failed."""
    report = yield
    made = item.stash.get(_ENGINE, None)
    if made is not None and call.when == "call" and report.failed:
        text = made.report()
        if text:
            report.sections.append(("Stepwell runs that have not completed", text))
    return report
