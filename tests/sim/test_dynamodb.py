"""A few worlds on DynamoDB, and that they can be relied on as those on SQLite can."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.sim.aws_faults import AwsFault
from tests.sim.checkers import Moment, OneEnd, ViolationError
from tests.sim.facts import Fact
from tests.sim.simulate import simulate
from tests.sim.test_simulator import CALL, DONE, ENTRY, EntryWritten

SEEDS = (3, 5, 7, 9, 10, 16, 17, 18)


@pytest.mark.parametrize("seed", SEEDS)
def test_promises_hold(seed: int) -> None:
    """Every promise holds in the world of this seed, kept in DynamoDB, with faults at every call of AWS."""
    assert simulate(seed, backend="dynamodb").report.failures == []


def test_a_seed_repeats_itself() -> None:
    """One seed gives one trace on DynamoDB, also in another process with other hash values."""
    program = "from tests.sim.simulate import simulate; print(simulate(17, backend='dynamodb').report.digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    report = simulate(17, backend="dynamodb").report
    assert report.digest == answer.stdout.decode().strip()
    assert any(isinstance(fault, AwsFault) for fault in report.faults)


LATE = EntryWritten("r", ENTRY)
FOLLOWS: dict[str, list[Fact]] = {
    "carries what was written": [DONE, LATE, replace(CALL, memos={"s": {"data": 1}})],
    "after the run's end": [DONE, LATE, replace(CALL, looked=3)],
}


@pytest.mark.parametrize("message", FOLLOWS)
def test_nothing_follows_from_a_late_entry(message: str) -> None:
    """A late entry may be kept, but no call may carry it, and none is made by who could see the run's end."""
    checker = OneEnd(late_entries=True)
    *before, last = FOLLOWS[message]
    for number, fact in enumerate(before, start=1):
        checker.see(fact, Moment(number, 0))
    with pytest.raises(ViolationError, match=message):
        checker.see(last, Moment(len(before) + 1, 0))
