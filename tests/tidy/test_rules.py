from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.tidy import rules
from tests.tidy.sources import ROOT, Source, all_sources, package_sources, parse, sources_of_tests

EVERYWHERE = (rules.narrow_ignores, rules.no_leftovers)
IN_PACKAGES = (
    rules.short_functions,
    rules.few_positional_parameters,
    rules.short_files,
    rules.no_banned_names,
    rules.no_printing,
)

PURE = "orchestrator/stepwell_orchestrator/engine/calls/advance.py"
CLOCK = "orchestrator/stepwell_orchestrator/local/clock.py"
LONG_BODY = "\n".join("    value = 1" for _ in range(rules.FUNCTION_LINES_MAX))

PLANTED = [
    pytest.param(rules.short_functions, f"def long():\n{LONG_BODY}\n", "has 61 lines", id="a long function"),
    pytest.param(
        rules.few_positional_parameters, "def many(a, b, c, d, e, f): ...", "takes 6 positional", id="many parameters"
    ),
    pytest.param(rules.short_files, "\n" * (rules.FILE_LINES_MAX + 1), "has 401 lines", id="a long file"),
    pytest.param(rules.no_banned_names, "import time\ntime.time()", "uses time.time;", id="the wall clock"),
    pytest.param(rules.no_banned_names, "import time\nnow = time.time_ns", "time.time_ns;", id="the clock, uncalled"),
    pytest.param(rules.no_banned_names, "from time import monotonic", "time.monotonic;", id="a clock by its name"),
    pytest.param(
        rules.no_banned_names,
        "import datetime as dt\ndt.datetime.now()",
        "datetime.datetime.now;",
        id="an aliased clock",
    ),
    pytest.param(
        rules.no_banned_names, "from datetime import datetime\ndatetime.now()", "datetime.datetime.now;", id="now()"
    ),
    pytest.param(rules.no_banned_names, "import asyncio\nasyncio.sleep(1)", "asyncio.sleep;", id="a sleep"),
    pytest.param(rules.no_banned_names, "def f():\n    import random", "uses random;", id="a lazy random"),
    pytest.param(rules.no_banned_names, "from os import environ", "os.environ;", id="the environment"),
    pytest.param(rules.no_banned_names, "import boto3", "put it into aws/", id="boto3"),
    pytest.param(rules.no_printing, "print('hi')", "prints", id="printing"),
    pytest.param(rules.narrow_ignores, "x = 1  # type: " + "ignore", "name the code", id="a blanket type ignore"),
    pytest.param(rules.narrow_ignores, "x = 1  # pyright: " + "ignore", "name the code", id="a blanket pyright ignore"),
    pytest.param(rules.narrow_ignores, "x = 1  # no" + "qa", "name the code", id="a blanket lint ignore"),
    pytest.param(rules.no_leftovers, "# TO" + "DO: later", "open an issue", id="a leftover"),
    pytest.param(rules.described_tests, "def test_x(): ...", "one sentence", id="no docstring"),
    pytest.param(rules.described_tests, 'def test_x():\n    """One. Two."""', "one sentence", id="two sentences"),
    pytest.param(rules.described_tests, 'def test_x():\n    """It works"""', "one sentence", id="no full stop"),
]

FINE = [
    pytest.param(rules.short_functions, f"def long():\n{LONG_BODY[:-14]}\n", PURE, id="a function at the bound"),
    pytest.param(
        rules.few_positional_parameters, "def m(self, a, b, c, d, e, *, f): ...", PURE, id="self and keywords are free"
    ),
    pytest.param(rules.no_banned_names, "import time\ntime.time()", CLOCK, id="the clock's own file"),
    pytest.param(rules.no_banned_names, "def f(time): return time.time()", PURE, id="a parameter named time"),
    pytest.param(rules.no_banned_names, "import datetime as dt\ndt.datetime(2027, 1, 1)", PURE, id="a fixed date"),
    pytest.param(rules.narrow_ignores, "x = 1  # type: ignore[misc]  # noqa: S101", PURE, id="narrow ignores"),
    pytest.param(
        rules.described_tests, 'def test_x():\n    """A name, e.g. Ann, is kept."""', PURE, id="an abbreviation"
    ),
]


def broken(rule: rules.Rule, sources: Iterable[Source]) -> str:
    """Every violation of ``rule``, a line each."""
    return "\n".join(problem for source in sources for problem in rule(source))


@pytest.mark.parametrize("rule", IN_PACKAGES, ids=lambda rule: rule.__name__)
def test_packages_keep_the_rule(rule: rules.Rule) -> None:
    """Nothing in the adapter or the orchestrator breaks the rule."""
    assert broken(rule, package_sources()) == ""


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: rules.Rule) -> None:
    """No Python file of the repository breaks the rule."""
    assert broken(rule, all_sources()) == ""


def test_every_test_says_what_holds() -> None:
    """Each test opens with a docstring of one sentence."""
    assert broken(rules.described_tests, sources_of_tests()) == ""


@pytest.mark.parametrize("place", sorted({*rules.PRINTING, *(place for ban in rules.BANS for place in ban.allowed)}))
def test_the_places_of_the_rules_exist(place: str) -> None:
    """Each file or folder that a rule makes an exception of is there, so that a move does not leave one behind."""
    assert (ROOT / place).is_dir() if place.endswith("/") else (ROOT / place).is_file()


@pytest.mark.parametrize(("rule", "text", "problem"), PLANTED)
def test_a_rule_finds_a_planted_violation(rule: rules.Rule, text: str, problem: str) -> None:
    """A violation planted in a pure module is reported once, with what to do about it."""
    (found,) = rule(parse(text, PURE))
    assert problem in found
    assert found.startswith(PURE)


@pytest.mark.parametrize(("rule", "text", "path"), FINE)
def test_a_rule_passes_what_is_allowed(rule: rules.Rule, text: str, path: str) -> None:
    """What lies at the bound, or in a place that is allowed to, is not reported."""
    assert list(rule(parse(text, path))) == []
