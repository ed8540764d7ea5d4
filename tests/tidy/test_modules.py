from __future__ import annotations

import importlib.util
import tomllib

import pytest

from tests.tidy.names import imported_modules
from tests.tidy.sources import ROOT, module_name, package_sources, parse

NOT_IMPORTED_BECAUSE = {
    "stepwell": "the package itself",
    "stepwell.cli": "the console script",
    "stepwell.pytest_plugin": "an entry point that pytest loads",
    "stepwell.aws": "public: stepwell.aws.handler(app)",
    "stepwell.fastapi": "public: stepwell.fastapi.serve(api, app)",
    "stepwell_orchestrator": "the package itself",
    "stepwell_orchestrator.entry.api": "the Lambda function behind the function URL",
    "stepwell_orchestrator.entry.queue": "the Lambda function on the queue",
    "stepwell_orchestrator.entry.sweep": "the Lambda function of the one-minute schedule",
    "stepwell_orchestrator.entry.sync": "the Lambda function that registers apps",
    "stepwell_orchestrator.entry.virtual_clock": "what tests turn instead of the system clock",
}
MODULES = frozenset(module_name(source) for source in package_sources())


def test_every_module_is_used() -> None:
    """Each module of the packages is imported by another one, or has a reason not to be."""
    used = frozenset().union(*(imported_modules(source, MODULES) for source in package_sources()))
    dead = MODULES - used - NOT_IMPORTED_BECAUSE.keys()
    assert sorted(dead) == [], (
        "nothing imports these; delete them, or name them in NOT_IMPORTED_BECAUSE with the reason"
    )


@pytest.mark.parametrize("module", sorted(NOT_IMPORTED_BECAUSE))
def test_every_exception_exists(module: str) -> None:
    """Each module that nothing imports, for a reason given here, is there."""
    assert importlib.util.find_spec(module) is not None


def test_console_scripts_exist() -> None:
    """The modules that the distribution's scripts start are named among the exceptions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    scripts = {target.partition(":")[0] for target in project["scripts"].values()}
    assert scripts <= NOT_IMPORTED_BECAUSE.keys()


@pytest.mark.parametrize(
    ("text", "imported"),
    [
        ("import a.b", {"a", "a.b"}),
        ("from a import b", {"a", "a.b"}),
        ("from a.b import thing", {"a", "a.b"}),
        ("def f():\n    from a.b import thing", {"a", "a.b"}),
        ("import importlib\nimportlib.import_module('a.b')", {"a", "a.b"}),
        ("import c", set()),
    ],
)
def test_imports_are_found(text: str, imported: set[str]) -> None:
    """Every way of importing a module, lazy ones too, counts as a use of it."""
    assert imported_modules(parse(text, "adapter/a/c.py"), frozenset({"a", "a.b"})) == imported
