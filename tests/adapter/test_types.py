from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import mypy.api

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).with_name("typed_steps.py")
PYRIGHT = Path(sysconfig.get_path("scripts")) / "basedpyright"


def test_mypy_knows_what_steps_give() -> None:
    """Under strict mypy the results of steps, waits and invocations have the types that typed_steps.py asserts."""
    problems, complaint, status = mypy.api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports", "silent", str(SAMPLE)]
    )
    assert (problems.splitlines()[:-1], complaint, status) == ([], "", 0)


def test_pyright_knows_what_steps_give() -> None:
    """Under strict pyright, which many editors show, the same holds, and typed events need no more than their data."""
    run = subprocess.run([PYRIGHT, str(SAMPLE)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.stdout.splitlines(), run.stderr, run.returncode) == (["0 errors, 0 warnings, 0 notes"], "", 0)
