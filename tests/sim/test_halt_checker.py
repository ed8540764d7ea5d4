"""The checker of what stands still bites."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stepwell_orchestrator.model.flow import Halt, Halts, HaltScope
from stepwell_orchestrator.model.run import Invoker
from tests.sim.checkers import Moment, ViolationError
from tests.sim.facts import Fact, HaltsLooked, RunCreated, RunStarted
from tests.sim.halt_checker import HaltsHold
from tests.sim.test_checkers import CALL, RUN

CREATED = RunCreated(RUN)
INVOKED = RunCreated(replace(RUN, invoked_by=Invoker("r0", "step")))
STARTED = RunStarted("r", 0, handling=1)
APP, FUNCTION = HaltScope("app", "sim"), HaltScope("function", "sim-f")
CLEAR = HaltsLooked(1, Halts())
PAUSED = HaltsLooked(1, Halts({FUNCTION: Halt("s", "c", 0)}))
DRAINS = HaltsLooked(1, Halts({APP: Halt("s", None, 0)}))
OTHER = HaltsLooked(1, Halts({HaltScope("function", "sim-g"): Halt("s", "c", 0)}))

BROKEN: dict[str, list[Fact]] = {
    "called without a look": [CREATED, CLEAR, STARTED, CALL, CALL],
    "called although its function is paused": [CREATED, CLEAR, STARTED, CLEAR, CALL, PAUSED, CALL],
    "started without a look": [CREATED, replace(CLEAR, handling=2), STARTED],
    "started although its function stands still": [CREATED, DRAINS, STARTED],
}
HARMLESS: dict[str, list[Fact]] = {
    "a look before each call": [CREATED, CLEAR, STARTED, CLEAR, CALL, CLEAR, CALL],
    "another function is paused": [CREATED, OTHER, STARTED, CALL],
    "what has started goes on under a drain": [CREATED, CLEAR, STARTED, DRAINS, CALL],
    "what a draining run waits for starts": [INVOKED, DRAINS, STARTED, CALL],
}


def show(history: list[Fact]) -> None:
    """Show what happened to the checker."""
    checker = HaltsHold()
    for number, fact in enumerate(history):
        checker.see(fact, Moment(number, 0))


@pytest.mark.parametrize("message", BROKEN)
def test_it_bites(message: str) -> None:
    """A call or a start of what stands still, or one that nobody looked before, is refused by its name."""
    with pytest.raises(ViolationError, match=message):
        show(BROKEN[message])


@pytest.mark.parametrize("history", HARMLESS)
def test_it_lets_pass(history: str) -> None:
    """A history that only looks like that passes."""
    show(HARMLESS[history])
