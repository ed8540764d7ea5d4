"""Running the tests often: what it says, where it stops, and that it leaves nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.often import BUSY, busy_cores, often

COUNTING = """
import pathlib, sys
count = len(pathlib.Path(sys.argv[1]).read_text()) + 1
pathlib.Path(sys.argv[1]).write_text("x" * count)
print("dots")
print(f"{count} passed")
sys.exit(5 if count == int(sys.argv[2]) else 0)
"""


def counting(folder: Path, red: int) -> list[str]:
    """A command that is red at that turn."""
    (folder / "count").write_text("")
    return [sys.executable, "-c", COUNTING, str(folder / "count"), str(red)]


def test_each_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Every green run is a line with the last that it said."""
    assert often(2, counting(tmp_path, red=0)) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["run 1 of 2: 1 passed", "run 2 of 2: 2 passed"]


def test_the_first_red_run_is_the_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """A red run is told whole and by its number, and none follows it."""
    assert often(4, counting(tmp_path, red=2)) == 5
    assert capsys.readouterr().out.splitlines()[1:] == [
        "run 1 of 4: 1 passed",
        "dots",
        "2 passed",
        "",
        "run 2 of 4: red",
    ]


def test_the_busy_processes_end():
    """They are one a core, gone after the block however it ends, and by themselves when who started them is gone."""
    ids: list[int] = []

    def interrupted() -> None:
        with busy_cores() as started:
            ids.extend(started)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(ids) == os.cpu_count()
    for one in ids:
        with pytest.raises(ProcessLookupError):
            os.kill(one, 0)
    orphan = subprocess.run([sys.executable, "-c", BUSY, "0"], check=False)
    assert orphan.returncode == 0
