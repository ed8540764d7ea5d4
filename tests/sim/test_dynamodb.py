"""A few worlds on DynamoDB, and that they can be relied on as those on SQLite can."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.sim.aws_faults import AwsFault
from tests.sim.checkers import ViolationError
from tests.sim.facts import EventStored
from tests.sim.simulate import simulate
from tests.sim.test_checkers import (
    CALL,
    CHARGED,
    DONE,
    MINUTE_MS,
    POKE,
    START,
    WAIT,
    WAITING,
    History,
    show,
    timed_out,
    written,
)

SEEDS = (3, 7, 9, 17, 18, 20, 24, 28)


@pytest.mark.parametrize("seed", SEEDS)
def test_promises_hold(seed: int) -> None:
    """Every promise holds in the world of this seed, kept in DynamoDB, with faults at every call of AWS."""
    assert simulate(seed, backend="dynamodb").report.failures == []


def test_a_seed_repeats_itself() -> None:
    """One seed gives one trace on DynamoDB, also in another process with other hash values."""
    program = "from tests.sim.simulate import simulate; print(simulate(7, backend='dynamodb').report.digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    report = simulate(7, backend="dynamodb").report
    assert report.digest == answer.stdout.decode().strip()
    assert any(isinstance(fault, AwsFault) for fault in report.faults)


LATE: History = [*START, DONE, written(CHARGED)]
FOLLOWS: dict[str, History] = {
    "carries what was written": [*LATE, replace(CALL, memos={CHARGED.step_id: CHARGED.memo})],
    "after the run's end": [*LATE, replace(CALL, looked=4)],
}


def test_a_late_entry_may_be_kept() -> None:
    """An entry that comes after its run's end may be kept: a step, a wait, and the end of one, which nobody is owed."""
    show(LATE, late_entries=True)
    show([*START, CALL, DONE, written(WAIT)], late_entries=True)
    show([*WAITING, EventStored(POKE, True), DONE, 10 * 15 * MINUTE_MS, timed_out(WAIT)], late_entries=True)


@pytest.mark.parametrize("message", FOLLOWS)
def test_nothing_follows_from_a_late_entry(message: str) -> None:
    """A late entry may be kept, but no call may carry it, and none is made by who could see the run's end."""
    with pytest.raises(ViolationError, match=message):
        show(FOLLOWS[message], late_entries=True)
