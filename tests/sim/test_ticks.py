"""Worlds with a function that the clock starts: each tick once under faults, and what is broken is noticed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sim import ticks
from tests.sim.simulate import simulate

SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_tick_is_one_run(seed: int) -> None:
    """Whatever fails in the world of this seed, every tick starts one run, and all other promises hold."""
    assert simulate(seed, schedules=True).report.failures == []


@pytest.mark.parametrize("mutation", ticks.MUTATIONS)
def test_mutation_is_noticed(mutation: Callable[[pytest.MonkeyPatch], None]) -> None:
    """One of these seeds notices ticks that are broken in this way."""
    with pytest.MonkeyPatch.context() as patch:
        mutation(patch)
        assert any(simulate(seed, schedules=True).report.failures for seed in SEEDS)
