"""The fixed set of seeds, and that the simulator itself can be relied on: it repeats itself, and its checkers bite."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Outcome, RunHeader, RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from tests.sim.checkers import Checker, Moment, ViolationError, all_checkers
from tests.sim.facts import BodyRan, CallMade, EntryWritten, EventStored, Fact, RunCreated, RunEnded, Trouble
from tests.sim.simulate import simulate

SEEDS = [*range(52), 240, 999, 1068, 1288, 1371, 1754]
"""The last ones have found a bug each."""

ENTRY = StepEntry("s", "charge", Op.STEP_RUN, StepStatus.COMPLETED, 0, memo={"data": 1})
SLEEP = StepEntry("n", "nap", Op.SLEEP, StepStatus.SLEEPING, 0, due_at_ms=100_000)
CALL = CallMade(call=1, run_id="r", target=None, attempt=0, max_attempts=3, term=1, handling=1, looked=0, since=0)
BODY = BodyRan(1, "r", "s", "charge", 0)
EVENT = Event("e1", "sim/go", "mine", 0, 0)
FINISHED = Event("e9", "inngest/function.finished", "e9", 0, 0, data={"run_id": "r"})
RUN = RunHeader("r", "sim", "sim-f", "sim/go", ("e1",), 0)
DONE = RunEnded("r", Outcome(RunStatus.COMPLETED, 0))
CANCELLED = RunEnded("r", Outcome(RunStatus.CANCELLED, 0))

BROKEN: dict[str, list[Fact]] = {
    "journaled twice": [EntryWritten("r", ENTRY), EntryWritten("r", replace(ENTRY, memo={"data": 2}))],
    "never journaled": [replace(CALL, memos={"s": {"data": 1}})],
    "although it was journaled": [EntryWritten("r", ENTRY), replace(CALL, looked=5), BODY],
    "ran twice": [CALL, BODY, replace(CALL, call=2, handling=2), replace(BODY, call=2)],
    "without looking": [CALL, replace(CALL, call=2)],
    "attempt 3, of 3": [replace(CALL, attempt=3)],
    "in another order": [replace(CALL, stack=("a", "b")), replace(CALL, looked=1, stack=("b", "a", "c"))],
    "shorter stack": [replace(CALL, stack=("a", "b")), replace(CALL, looked=1, stack=("a",))],
    "started sim-f twice": [
        EventStored(EVENT, True),
        EventStored(replace(EVENT, internal_id="e2"), True),
        RunCreated(RUN),
        RunCreated(replace(RUN, run_id="r2", event_ids=("e2",))),
    ],
    "after it had ended": [DONE, CANCELLED],
    "written after the run's end": [DONE, EntryWritten("r", ENTRY)],
    "emitted twice": [EventStored(FINISHED, True), EventStored(replace(FINISHED, internal_id="e8"), True)],
    "after the cancellation": [CANCELLED, replace(CALL, looked=5)],
    "was moved": [EntryWritten("r", SLEEP), EntryWritten("r", replace(SLEEP, due_at_ms=1))],
    "ms too early": [
        EntryWritten("r", SLEEP),
        EntryWritten("r", replace(SLEEP, status=StepStatus.COMPLETED)),
    ],
}
HARMLESS: dict[str, list[Fact]] = {
    "another step is journaled": [EntryWritten("r", ENTRY), EntryWritten("r", replace(ENTRY, step_id="t"))],
    "the memo is the journaled one": [EntryWritten("r", ENTRY), replace(CALL, memos={"s": {"data": 1}})],
    "the worker could not see it yet": [CALL, EntryWritten("r", ENTRY), BODY],
    "a fault explains it": [
        CALL,
        BODY,
        Trouble("r", "crash"),
        replace(CALL, call=2, handling=2),
        replace(BODY, call=2),
    ],
    "the stack grew": [replace(CALL, stack=("a",)), replace(CALL, looked=1, stack=("a", "b"))],
    "the cancellation came in between": [CALL, CANCELLED],
}


def show(facts: list[Fact]) -> None:
    """Show facts to every checker, one after the other."""
    checkers: Iterator[Checker] = iter(all_checkers(2_000))
    for checker in checkers:
        for number, fact in enumerate(facts, start=1):
            checker.see(fact, Moment(number, 0))


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


@pytest.mark.parametrize("message", BROKEN)
def test_checkers_bite(message: str) -> None:
    """A history in which a promise is broken is refused, by its name."""
    with pytest.raises(ViolationError, match=message):
        show(BROKEN[message])


@pytest.mark.parametrize("history", HARMLESS)
def test_checkers_let_pass(history: str) -> None:
    """A history that only looks like a broken promise passes."""
    show(HARMLESS[history])
