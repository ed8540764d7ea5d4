"""Every place that must know a kind of step knows them all: none is taken for a run without a word."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from stepwell.replaying.replay_rules import Recorded
from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.api.gql.objects import trace_object
from stepwell_orchestrator.api.words import op_word as api_word
from stepwell_orchestrator.engine.calls.advance import advance
from stepwell_orchestrator.engine.opcodes.gateway import GATEWAYS
from stepwell_orchestrator.engine.waits import resume
from stepwell_orchestrator.engine.waits.waiting import give_up, take
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.model.step_kind import StepKind, kind_of
from stepwell_orchestrator.terminal.display import op_word as terminal_word
from tests.orchestrator.engine import builders

NO_STEP = {
    Op.NONE,
    Op.RUN_COMPLETE,
    Op.SYNC_RUN_COMPLETE,
    Op.DISCOVERY_REQUEST,
    Op.DEFER_ADD,
    Op.DEFER_ABORT,
}
"""The opcodes that report no step. A new opcode belongs here, or ``kind_of`` has to know its kind."""

STEPS = [op for op in Op if op not in NO_STEP]

FIRST_OPS = {
    StepKind.RUN: Op.STEP_PLANNED,
    StepKind.SLEEP: Op.SLEEP,
    StepKind.WAIT_FOR_EVENT: Op.WAIT_FOR_EVENT,
    StepKind.WAIT_FOR_SIGNAL: Op.WAIT_FOR_SIGNAL,
    StepKind.INVOKE: Op.INVOKE_FUNCTION,
    StepKind.INFER: Op.AI_GATEWAY,
    StepKind.FETCH: Op.GATEWAY,
}
"""The opcode by which a step of each kind is first reported, when it is not run in place."""

OPTS: dict[StepKind, dict[str, Any]] = {
    StepKind.RUN: {},
    StepKind.SLEEP: {"duration": "1h"},
    StepKind.WAIT_FOR_EVENT: {"event": "order/paid", "timeout": "1h"},
    StepKind.WAIT_FOR_SIGNAL: {"signal": "go", "timeout": "1h"},
    StepKind.INVOKE: {"function_id": "shop-other", "timeout": "1h"},
    StepKind.INFER: {"url": "https://model.test", "body": {}},
    StepKind.FETCH: {"url": "https://page.test"},
}

NAMELESS_IN_THE_API = {StepKind.FETCH}
"""The kinds that the official API has no word for (protocol 7.3): it shows them as runs."""


def reported(kind: StepKind) -> StepEntry:
    """The entry that the engine writes when a step of a kind is first reported."""
    opcode = Opcode(FIRST_OPS[kind], builders.entry("it").step_id, "it", "it", OPTS[kind])
    decision = advance(builders.situation(builders.run()), builders.instructed(opcode))
    [put] = [write for write in decision.writes if hasattr(write, "entry")]
    return put.entry


@pytest.mark.parametrize("op", Op)
def test_an_opcode_reports_a_kind_of_step_or_none(op: Op):
    """Each opcode of the wire has a kind, or is known to report no step."""
    if op in NO_STEP:
        with pytest.raises(ValueError, match="reports no step"):
            kind_of(op)
    else:
        assert kind_of(op) in StepKind


def test_every_kind_is_reported_by_an_opcode():
    """No kind of step is without an opcode, and none without an example here."""
    assert {kind_of(op) for op in STEPS} == set(StepKind) == FIRST_OPS.keys() == OPTS.keys()


@pytest.mark.parametrize("kind", StepKind)
def test_the_engine_takes_it_up(kind: StepKind):
    """The engine writes an entry of the kind that was reported, pending until something finishes it."""
    entry = reported(kind)
    assert kind_of(entry.op) is kind
    assert entry.pending


@pytest.mark.parametrize("kind", StepKind)
def test_the_engine_waits_for_it(kind: StepKind):
    """What makes a waiting step wakeable, and what follows the end of its wait, is known of each kind."""
    entry, run = reported(kind), builders.run()
    if entry.status is StepStatus.WAITING:
        assert len(take(run, entry)) == 2, "a timer, and what is waited for"
        assert resume.time_is_up(entry, builders.NOW_MS).status is StepStatus.TIMED_OUT
    assert isinstance(give_up(run.header.run_id, entry), tuple)


def test_what_the_engine_requests_is_a_gateway():
    """The worker makes the requests of exactly the kinds that are requests."""
    assert {kind_of(op) for op in GATEWAYS} == {StepKind.INFER, StepKind.FETCH}


def test_idle_kinds_are_those_that_nothing_works_on():
    """A kind counts as idle when its entry sleeps or waits, and as busy when a queue item executes it."""
    asleep = {StepStatus.SLEEPING, StepStatus.WAITING}
    assert {kind for kind in StepKind if kind.idle} == {kind for kind in StepKind if reported(kind).status in asleep}


def test_the_terminal_has_a_word_of_its_own_for_it():
    """No two kinds share a word in a terminal, and all opcodes of one kind have the same."""
    words = {kind: {terminal_word(op) for op in STEPS if kind_of(op) is kind} for kind in StepKind}
    assert all(len(known) == 1 for known in words.values())
    assert len(set.union(*words.values())) == len(StepKind)


def test_the_api_has_a_word_for_it():
    """REST v2 and GraphQL name every kind apart but those that the official API cannot name."""
    words = {kind: api_word(reported(kind)) for kind in StepKind}
    assert {kind for kind, word in words.items() if word == words[StepKind.RUN]} == {StepKind.RUN, *NAMELESS_IN_THE_API}
    assert len(set(words.values())) == len(StepKind) - len(NAMELESS_IN_THE_API)


@pytest.mark.parametrize("kind", StepKind)
def test_graphql_tells_of_it(kind: StepKind):
    """GraphQL has an object for what each kind is about; what takes its time from a worker is a run there."""
    run = builders.run(reported(kind))
    [span] = trace_object(run)["childrenSpans"]
    assert (span["stepInfo"]["__typename"] == "RunStepInfo") is not kind.idle


def test_the_adapter_takes_none_for_another():
    """A replay, and so replay-check, refuses a step whose kind is not the journal's."""
    for before, now in permutations(StepKind, 2):
        assert Recorded(FIRST_OPS[before]).conflict(FIRST_OPS[now], {}) is not None, (before, now)
