"""The fixed set of seeds, and that the simulator itself can be relied on: it repeats itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.sim.simulate import simulate

SEEDS = [*range(52), 72, 73, 85, 121]
"""The last ones notice what the others do not: see the mutations."""


@pytest.mark.parametrize("seed", SEEDS)
def test_promises_hold(seed: int) -> None:
    """Every promise holds in the world of this seed."""
    assert simulate(seed).report.failures == []


def test_a_seed_repeats_itself() -> None:
    """One seed gives one trace, also in another process with other hash values."""
    program = "from tests.sim.simulate import simulate; print(*(simulate(seed).report.digest for seed in (3, 9)))"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    assert [simulate(seed).report.digest for seed in (3, 9)] == answer.stdout.decode().split()
    assert simulate(3).report.digest != simulate(9).report.digest
