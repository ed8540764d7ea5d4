"""A few worlds on DynamoDB, and that they can be relied on as those on SQLite can."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.sim import aws_mutations
from tests.sim.aws_faults import AwsFault
from tests.sim.checkers import ViolationError
from tests.sim.facts import EventStored
from tests.sim.mutations import caught_by
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


@pytest.mark.parametrize("mutation", [aws_mutations.end_again, aws_mutations.call_each_takeover_a_start])
def test_mutation_is_noticed(mutation: Callable[[pytest.MonkeyPatch], None]) -> None:
    """One of a few seeds breaks a promise when the ports on DynamoDB are broken in this way."""
    assert caught_by(mutation, 14, "dynamodb") is not None


def test_a_seed_repeats_itself() -> None:
    """One seed gives one trace on DynamoDB, also in another process with other hash values."""
    program = "from tests.sim.simulate import simulate; print(simulate(7, backend='dynamodb').report.digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    report = simulate(7, backend="dynamodb").report
    assert report.digest == answer.stdout.decode().strip()
    assert any(isinstance(fault, AwsFault) for fault in report.faults)


LATE: History = [*START, DONE, written(CHARGED)]


def test_a_late_entry_may_be_kept() -> None:
    """An entry that comes after its run's end may be kept, and carried in a call by who looked before the end."""
    show([*LATE, replace(CALL, memos={CHARGED.step_id: CHARGED.memo})], late_entries=True)
    show([*START, CALL, DONE, written(WAIT)], late_entries=True)
    show([*WAITING, EventStored(POKE, True), DONE, 10 * 15 * MINUTE_MS, timed_out(WAIT)], late_entries=True)


def test_no_call_follows_the_end() -> None:
    """No call is made by who could see the run's end, whatever was written after it."""
    with pytest.raises(ViolationError, match="after the run's end"):
        show([*LATE, replace(CALL, looked=4)], late_entries=True)
