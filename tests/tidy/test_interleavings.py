"""The tables of interleavings beside the code name tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.tidy.sources import package_sources, sources_of_tests

_NAMED = re.compile(r"\b(test_\w+\.py)::(test_\w+)")


def test_every_row_names_a_test_that_exists():
    """A test that a module's docstring names is in a file of that name."""
    known = {(Path(source.path).name, function.name) for source in sources_of_tests() for function in source.functions}
    named = {
        (source.path, *found)
        for source in package_sources()
        for found in _NAMED.findall(ast.get_docstring(source.tree) or "")
    }
    assert {path for path, *_ in named} >= {"orchestrator/stepwell_orchestrator/worker/driving.py"}
    assert [row for row in sorted(named) if row[1:] not in known] == []
