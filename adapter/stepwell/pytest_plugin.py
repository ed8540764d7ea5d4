"""What pytest finds when Stepwell is installed: the fixture ``engine``, the marker ``crash_everywhere``, timelines."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stepwell.testing import Engine, SyncEngine

_ENGINE: pytest.StashKey[Engine | SyncEngine] = pytest.StashKey()
_MARKER = "crash_everywhere"


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine | SyncEngine]:
    """A fresh ``stepwell.testing.Engine``; in a test that is not ``async``, a ``SyncEngine``."""
    from stepwell.testing import Engine

    is_async = inspect.iscoroutinefunction(request.function)
    with closing(Engine() if is_async else Engine.sync()) as made:
        request.node.stash[_ENGINE] = made
        yield made


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(only=None, limit=1000): run the test once for every place where its engine's worker may die "
        "(Stepwell); the test must take the fixture engine",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let a marked test be the scenario of its engine's ``crash_everywhere``: to run the test is to run all of it."""
    marker = item.get_closest_marker(_MARKER)
    if marker is not None and isinstance(item, pytest.Function):
        item.obj = functools.wraps(item.obj)(_everywhere(item, item.obj, marker.kwargs))


def _everywhere(item: pytest.Item, test: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
    """``test`` as the scenario of the engine it is given: with every fault, and ``async`` when it is."""

    def live_through(fixtures: Mapping[str, Any]) -> Any:
        __tracebackhide__ = True

        def scenario(fresh: Engine | SyncEngine) -> Any:
            item.stash[_ENGINE] = fresh
            return test(**{**fixtures, "engine": fresh})

        return fixtures["engine"].crash_everywhere(scenario, **options)

    async def run_async(**fixtures: Any) -> None:
        __tracebackhide__ = True
        with _reporting(item, _engine_among(fixtures)) as add_report:
            add_report(await live_through(fixtures))

    def run(**fixtures: Any) -> None:
        __tracebackhide__ = True
        with _reporting(item, _engine_among(fixtures)) as add_report:
            add_report(live_through(fixtures))

    return run_async if inspect.iscoroutinefunction(test) else run


def _engine_among(fixtures: dict[str, Any]) -> Any:
    if "engine" not in fixtures:
        pytest.fail(f"a test marked {_MARKER} must take the fixture engine, and nothing else may", pytrace=False)
    return fixtures["engine"]


@contextmanager
def _reporting(item: pytest.Item, made: Engine | SyncEngine) -> Generator[Callable[[object], None]]:
    """Put the report beside what the test printed, where ``pytest -rP`` shows it, or let it be all of the failure."""
    from stepwell.testing import CrashError

    try:
        yield lambda report: item.add_report_section("call", _MARKER, str(report))
    except CrashError as error:
        item.stash[_ENGINE] = made
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    item.stash[_ENGINE] = made


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
