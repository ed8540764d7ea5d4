from __future__ import annotations

from pathlib import Path

import mypy.api

ROOT = Path(__file__).parents[2]


def test_a_type_checker_knows_what_steps_give() -> None:
    """Under strict mypy the results of steps, waits and invocations have the types that typed_steps.py asserts."""
    sample = Path(__file__).with_name("typed_steps.py")
    problems, complaint, status = mypy.api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports", "silent", str(sample)]
    )
    assert (problems.splitlines()[:-1], complaint, status) == ([], "", 0)
