"""The checkers bite: a history in which a promise is broken is refused, and one that only looks like it passes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from stepwell.wire.call import CallRequest
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.expr.compile import compile_expression
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import Halts
from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.run import Invoker, Outcome, RunHeader, RunStatus
from stepwell_orchestrator.model.signal import SignalWait as PortWait
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import HttpReply
from tests.sim.checkers import Bounds, Moment, ViolationError
from tests.sim.corpus import CancelRule, Member, Options
from tests.sim.facts import (
    BodyRan,
    BulkCancelAsked,
    CallMade,
    CancelAsked,
    EntryWritten,
    EventStored,
    Fact,
    HaltsLooked,
    RerunAnswered,
    RunCreated,
    RunEnded,
    RunStarted,
    SignalAnswered,
    SignalSent,
    SignalTaken,
    Trouble,
)
from tests.sim.promises import all_checkers
from tests.sim.scripted import Entered
from tests.sim.steps import Do, EventWait, Invocation, Memos, Nap, Narrow, SignalWait, Step

MINUTE_MS = 60_000
BOUNDS = Bounds(skew_max_ms=2_000, prompt_ms=15 * MINUTE_MS)
STEPS: tuple[Step, ...] = (
    Do("charge"),
    Nap("nap", 100_000),
    EventWait("wait", "sim/poke", Narrow.SAME_USER, 100_000),
    EventWait("next", "sim/poke", Narrow.SAME_USER, 100_000, "run"),
    SignalWait("signal", "gate", 100_000, replaces=False),
    Invocation("invoke", "sim-child", 100_000),
)


@dataclass(frozen=True, slots=True)
class Listed:
    """Code of which only the steps matter."""

    steps: Sequence[Step] = STEPS
    naps_ms: int = 0
    actions: int = 0

    def expected(self, memos: Memos, max_attempts: int) -> Any:
        raise NotImplementedError

    async def answer(self, request: CallRequest, target: str, entered: Entered) -> HttpReply:
        raise NotImplementedError


def member(slug: str, options: Options) -> Member:
    return Member(Function(slug, "sim", slug, ""), Listed(), options)


MEMBERS = {
    "sim-f": member("sim-f", Options()),
    "sim-child": member("sim-child", Options()),
    "sim-limited": member(
        "sim-limited",
        Options(CancelRule(Narrow.SAME_USER), start_ms=5_000, finish_ms=MINUTE_MS, one_per_user=True),
    ),
}

EVENT = Event("e1", "sim/go", "mine", 0, 0, data={"user": 1})
RUN = RunHeader("r", "sim", "sim-f", "sim/go", ("e1",), 0)
START: list[Fact] = [EventStored(EVENT, True), RunCreated(RUN)]
LIMITED = [EventStored(EVENT, True), RunCreated(replace(RUN, function_id="sim-limited"))]
CALL = CallMade(call=1, run_id="r", target=None, attempt=0, max_attempts=3, term=1, handling=1, looked=0, since=0)
DONE = RunEnded("r", Outcome(RunStatus.COMPLETED, 0))
CANCELLED = RunEnded("r", Outcome(RunStatus.CANCELLED, 0))
FINISHED = Event("e9", "inngest/function.finished", "e9", 0, 0, data={"run_id": "r"})
POKE = Event("p1", "sim/poke", "p1", 1_000, 10_000, data={"user": 1})
STOP = Event("s1", "sim/stop", "s1", 0, 10_000, data={"user": 1})


def entry(name: str, op: Op, status: StepStatus, memo: Any = None, due_at_ms: int | None = 100_000) -> StepEntry:
    return StepEntry(hash_step_id(name), name, op, status, 0, due_at_ms=due_at_ms, memo=memo)


def written(step: StepEntry, run_id: str = "r") -> EntryWritten:
    return EntryWritten(run_id, step, handling=1)


CHARGED = entry("charge", Op.STEP_RUN, StepStatus.COMPLETED, {"data": 1})
BODY = BodyRan(1, "r", CHARGED.step_id, "charge", 0)
NAP = entry("nap", Op.SLEEP, StepStatus.SLEEPING)
WAIT = entry("wait", Op.WAIT_FOR_EVENT, StepStatus.WAITING)
NEXT = entry("next", Op.WAIT_FOR_EVENT, StepStatus.WAITING)
SIGNAL = entry("signal", Op.WAIT_FOR_SIGNAL, StepStatus.WAITING)
INVOKE = entry("invoke", Op.INVOKE_FUNCTION, StepStatus.WAITING)
WAITING: list[Fact | int] = [*START, CALL, written(WAIT)]
POKED: list[Fact | int] = [*WAITING, 10_000, EventStored(POKE, True)]
HELD = PortWait("gate", "r", SIGNAL.step_id, 100_000)
TAKEN: list[Fact | int] = [*START, CALL, written(SIGNAL), SignalTaken(HELD, True)]
OTHER = replace(RUN, run_id="r2", event_ids=("e2",))
SECOND: list[Fact] = [
    EventStored(replace(EVENT, internal_id="e2", id="other"), True),
    RunCreated(OTHER),
    replace(CALL, run_id="r2"),
    written(SIGNAL, "r2"),
]
CHILD = RunHeader(
    "c", "sim", "sim-child", "inngest/function.invoked", ("i1",), 0, invoked_by=Invoker("r", INVOKE.step_id)
)
INVOKED_DATA = {"_inngest": {"correlation_id": f"r.{INVOKE.step_id}"}}
INVOCATION = EventStored(Event("i1", "inngest/function.invoked", "i1", 0, 0, INVOKED_DATA), True)
INVOKED: list[Fact | int] = [
    *START,
    CALL,
    written(INVOKE),
    INVOCATION,
    RunCreated(CHILD),
]


def resumed(step: StepEntry, event: Event) -> EntryWritten:
    return written(replace(step, status=StepStatus.COMPLETED, memo=event.wire()))


def timed_out(step: StepEntry) -> EntryWritten:
    return written(replace(step, status=StepStatus.TIMED_OUT))


def woken(token: int, run_id: str = "r") -> EntryWritten:
    memo = {"data": {"signal": "gate", "data": token}}
    return written(replace(SIGNAL, status=StepStatus.COMPLETED, memo=memo), run_id)


def answered(memo: Any, status: StepStatus = StepStatus.COMPLETED) -> EntryWritten:
    return written(replace(INVOKE, status=status, memo=memo))


History = Sequence[Fact | int]
"""What happened; a number is the time from there on, in ms."""

BROKEN: dict[str, History] = {
    "journaled twice": [*START, written(CHARGED), written(replace(CHARGED, memo={"data": 2}))],
    "carries for step": [*START, replace(CALL, memos={CHARGED.step_id: {"data": 1}})],
    "although it was journaled": [*START, written(CHARGED), replace(CALL, looked=5), BODY],
    "ran twice": [*START, CALL, BODY, replace(CALL, call=2, handling=2), replace(BODY, call=2)],
    "without looking": [*START, CALL, replace(CALL, call=2)],
    "attempt 3, of 3": [*START, replace(CALL, attempt=3)],
    "in another order": [*START, replace(CALL, stack=("a", "b")), replace(CALL, looked=3, stack=("b", "a", "c"))],
    "shorter stack": [*START, replace(CALL, stack=("a", "b")), replace(CALL, looked=3, stack=("a",))],
    "event id mine started sim-f twice": [
        *START,
        EventStored(replace(EVENT, internal_id="e2"), True),
        RunCreated(replace(RUN, run_id="r2", event_ids=("e2",))),
    ],
    "key 1 started sim-limited twice": [
        *LIMITED,
        EventStored(replace(EVENT, internal_id="e2", id="other"), True),
        RunCreated(replace(RUN, function_id="sim-limited", run_id="r2", event_ids=("e2",))),
    ],
    "after it had ended": [*START, DONE, DONE],
    "written after the run's end": [*START, DONE, written(CHARGED)],
    "emitted twice": [*START, EventStored(FINISHED, True), EventStored(replace(FINISHED, internal_id="e8"), True)],
    "after the cancellation": [*START, CancelAsked("r"), CANCELLED, replace(CALL, looked=9)],
    "sleep nap was moved": [*START, written(NAP), written(replace(NAP, due_at_ms=1))],
    "is not 100000 ms long": [*START, written(replace(NAP, due_at_ms=200_000 + 15 * MINUTE_MS))],
    "ended 98000 ms too early": [*START, written(NAP), written(replace(NAP, status=StepStatus.COMPLETED))],
    "ended 1000000 ms after its time": [
        *START,
        written(NAP),
        1_100_000,
        written(replace(NAP, status=StepStatus.COMPLETED)),
    ],
    "wait ended before it began": [*START, CALL, resumed(WAIT, POKE)],
    "does not last 100000 ms": [*START, CALL, written(replace(WAIT, due_at_ms=200_000))],
    "wait wait was moved": [*WAITING, written(replace(WAIT, due_at_ms=1))],
    "wait wait took an event": [*POKED, resumed(WAIT, replace(POKE, data={"user": 2}))],
    "wait wait was resolved twice": [*POKED, resumed(WAIT, POKE), resumed(WAIT, POKE)],
    "wait wait timed out 1000 ms too early": [*WAITING, 97_000, timed_out(WAIT)],
    "wait wait timed out in spite of": [*POKED, 100_000, timed_out(WAIT)],
    "wait wait went on": [*POKED, 10_001 + 15 * MINUTE_MS, resumed(WAIT, POKE)],
    "wait next took an event": [
        *POKED,
        resumed(WAIT, POKE),
        replace(CALL, looked=9, memos={WAIT.step_id: POKE.wire()}),
        written(replace(NEXT, due_at_ms=110_000)),
        resumed(replace(NEXT, due_at_ms=110_000), POKE),
    ],
    "was taken from its waiter": [*TAKEN, *SECOND, SignalTaken(replace(HELD, run_id="r2"), True)],
    "nobody else waits": [*START, CALL, written(SIGNAL), SignalTaken(HELD, False)],
    "signal gate that was never journaled": [*START, SignalTaken(HELD, True)],
    "which nobody sent": [*TAKEN, woken(7)],
    "signal 1 woke two steps": [
        *TAKEN,
        *SECOND,
        SignalSent(1, "gate"),
        woken(1),
        SignalTaken(replace(HELD, run_id="r2"), True),
        woken(1, "r2"),
    ],
    "a run that it did not resume": [*TAKEN, SignalSent(1, "gate"), SignalAnswered(1, "r")],
    "told that nobody waits, though it resumed": [
        *TAKEN,
        SignalSent(1, "gate"),
        woken(1),
        SignalAnswered(1, None),
    ],
    "a run that was over": [*TAKEN, DONE, SignalSent(1, "gate"), woken(1), SignalAnswered(1, "r")],
    "though a step did so": [*TAKEN, SignalSent(1, "gate"), SignalAnswered(1, None)],
    "though it was not refused": [*TAKEN, written(replace(SIGNAL, status=StepStatus.FAILED))],
    "invoked two runs": [
        *INVOKED,
        EventStored(Event("i2", "inngest/function.invoked", "i2", 0, 0, INVOKED_DATA), True),
        RunCreated(replace(CHILD, run_id="c2", event_ids=("i2",))),
    ],
    "by a step that does not invoke it": [*START, CALL, INVOCATION, RunCreated(CHILD)],
    "does not say so": [*START, CALL, written(INVOKE), INVOCATION, RunCreated(replace(CHILD, invoked_by=None))],
    "not what became of it": [
        *INVOKED,
        RunEnded("c", Outcome(RunStatus.COMPLETED, 0, output=1)),
        answered({"data": 2}),
    ],
    "long after its run had ended": [
        *INVOKED,
        RunEnded("c", Outcome(RunStatus.COMPLETED, 0, output=1)),
        1 + 15 * MINUTE_MS,
        answered({"data": 1}),
    ],
    "invoke timed out too early": [*INVOKED, timed_out(INVOKE)],
    "cancelled for no reason": [*START, CANCELLED],
    "event s1 should have cancelled it": [*LIMITED, 10_000, EventStored(STOP, True), 20 * MINUTE_MS, DONE],
    "the cancellation of its caller should have": [
        *INVOKED,
        CancelAsked("r"),
        CANCELLED,
        16 * MINUTE_MS,
        RunEnded("c", Outcome(RunStatus.COMPLETED, 0)),
    ],
    "its time should have cancelled it": [*LIMITED, RunStarted("r", 0), 20 * MINUTE_MS, DONE],
    "a bulk cancellation should have": [
        *START,
        1,
        BulkCancelAsked("sim-f", 1, 1, accepted=True),
        16 * MINUTE_MS,
        DONE,
    ],
    "started long after its time": [*LIMITED, 16 * MINUTE_MS, RunStarted("r", 16 * MINUTE_MS)],
    "accepted, and there is none": [RerunAnswered("r")],
    "nobody wanted to run again": [*START, RunCreated(replace(RUN, run_id="r2", original_run_id="r"))],
}
HARMLESS: dict[str, History] = {
    "another step is journaled": [*START, written(CHARGED), written(entry("other", Op.STEP_RUN, StepStatus.COMPLETED))],
    "the memo is the journaled one": [*START, written(CHARGED), replace(CALL, memos={CHARGED.step_id: {"data": 1}})],
    "the worker could not see it yet": [*START, CALL, written(CHARGED), BODY],
    "a fault explains it": [
        *START,
        CALL,
        BODY,
        Trouble("r", "crash"),
        replace(CALL, call=2, handling=2),
        replace(BODY, call=2),
    ],
    "the stack grew": [*START, replace(CALL, stack=("a",)), replace(CALL, looked=3, stack=("a", "b"))],
    "the cancellation came in between": [*START, CancelAsked("r"), CALL, CANCELLED],
    "the event resumed the wait": [*POKED, resumed(WAIT, POKE)],
    "two waits side by side share the event": [
        *POKED,
        resumed(WAIT, POKE),
        replace(CALL, looked=9),
        written(replace(NEXT, due_at_ms=110_000)),
        resumed(replace(NEXT, due_at_ms=110_000), POKE),
    ],
    "the event was for somebody else": [
        *WAITING,
        EventStored(replace(POKE, data={"user": 2}), True),
        100_000,
        timed_out(WAIT),
    ],
    "the event came in the last moment": [
        *WAITING,
        98_000,
        EventStored(replace(POKE, received_at_ms=98_000), True),
        100_000,
        timed_out(WAIT),
    ],
    "the event came before the call": [
        *START,
        EventStored(replace(POKE, received_at_ms=0), True),
        CALL,
        written(WAIT),
        100_000,
        timed_out(WAIT),
    ],
    "the waiter's time was up": [*TAKEN, *SECOND, 99_000, SignalTaken(replace(HELD, run_id="r2"), True)],
    "the waiter's run was over": [*TAKEN, *SECOND, DONE, SignalTaken(replace(HELD, run_id="r2"), True)],
    "the signal woke its waiter": [*TAKEN, SignalSent(1, "gate"), woken(1), SignalAnswered(1, "r")],
    "the run ended while its signal was sent": [*TAKEN, SignalSent(1, "gate"), woken(1), DONE, SignalAnswered(1, "r")],
    "the waiter was woken by another": [
        *TAKEN,
        SignalSent(1, "gate"),
        SignalSent(2, "gate"),
        woken(2),
        SignalAnswered(1, None),
    ],
    "the parent sees the child's error": [
        *INVOKED,
        RunEnded("c", Outcome(RunStatus.FAILED, 0, error={"name": "E"})),
        answered({"error": {"name": "E"}}, StepStatus.FAILED),
    ],
    "its time to finish was up": [*LIMITED, RunStarted("r", 0), MINUTE_MS, CANCELLED],
    "its time to start was up": [*LIMITED, 5_000, CANCELLED],
    "an event cancelled it": [*LIMITED, RunStarted("r", 0), 10_000, EventStored(STOP, True), CANCELLED],
    "its caller was cancelled": [
        *INVOKED,
        CancelAsked("r"),
        CANCELLED,
        RunEnded("c", Outcome(RunStatus.CANCELLED, 0)),
    ],
    "a bulk cancellation did": [*START, BulkCancelAsked("sim-f", 1, None), CANCELLED],
}


def show(history: History, *, late_entries: bool = False) -> None:
    """Show what happened to every checker, one after the other. Whoever calls has found that nothing stands still."""
    for checker in all_checkers(BOUNDS, MEMBERS, late_entries=late_entries):
        now_ms, numbers = 0, itertools.count(1)
        for fact in history:
            if isinstance(fact, int):
                now_ms = fact
            else:
                if isinstance(fact, CallMade | RunStarted):
                    checker.see(HaltsLooked(fact.handling, Halts()), Moment(0, now_ms))
                checker.see(fact, Moment(next(numbers), now_ms))


@pytest.mark.parametrize("message", BROKEN)
def test_checkers_bite(message: str) -> None:
    """A history in which a promise is broken is refused, by its name."""
    with pytest.raises(ViolationError, match=message):
        show(BROKEN[message])


@pytest.mark.parametrize("history", HARMLESS)
def test_checkers_let_pass(history: str) -> None:
    """A history that only looks like a broken promise passes."""
    show(HARMLESS[history])


@pytest.mark.parametrize("narrow", [narrow for narrow in Narrow if narrow.value])
def test_conditions_are_told_as_they_are_written(narrow: Narrow) -> None:
    """What the checkers take a condition to say is what its expression says, also of events that lack something."""
    expression = compile_expression(narrow.value, variables=frozenset({"event", "async"}))
    values: list[dict[str, int]] = [{}, {"user": 1}, {"user": 2, "n": 7}, {"n": 3}, {"user": 1, "n": 3}]
    for trigger, data in itertools.product(values, values):
        found = expression.matches({"event": {"data": trigger}, "async": {"data": data}}, 0)
        assert found == narrow.accepts(trigger, data), (trigger, data)
