"""Which replies count when the journal has moved on, and whose steps moved it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stepwell.wire.opcodes import Op
from stepwell.wire.reply import Reply
from stepwell_orchestrator.engine.calls.advance import advance
from stepwell_orchestrator.engine.journal.call_reference import CALL_SPAN, REPLY_SPAN, CallReference
from stepwell_orchestrator.engine.journal.changes_during_call import (
    ChangesDuringCall,
    changes_during,
    is_void,
    stands_alone,
)
from stepwell_orchestrator.engine.journal.retry import discovery_attempt
from stepwell_orchestrator.model.step import Place, StepStatus
from tests.orchestrator.engine.builders import (
    RUN_ID,
    entry,
    instructed,
    op,
    placed,
    raised,
    returned,
    run,
    situation,
    step_error,
)

REFERENCE = CallReference(RUN_ID, 1, 2, 9)
SENT = run(placed("before", 1, 0))
OWN = placed("own", 1, 2 * CALL_SPAN + 7)
OTHER = placed("other", 1, CALL_SPAN + 7)


def test_a_call_knows_its_own_steps() -> None:
    """Not those it was sent, those of an earlier call or term, nor what has no place or no result."""
    now = run(
        placed("before", 1, 0),
        OWN,
        OTHER,
        placed("old", 0, 2 * CALL_SPAN),
        entry("arrived"),
        entry("flaky", StepStatus.ERRORED),
    )
    found = changes_during(SENT, now, REFERENCE)
    assert found.own == {OWN.step_id}
    assert found.others == {OTHER.step_id, op(Op.STEP_RUN, "old").id, op(Op.STEP_RUN, "arrived").id}


@pytest.mark.parametrize(
    ("reply", "void_by_others"),
    [
        (returned(), True),
        (raised(no_retry=True), True),
        (instructed(op(Op.STEP_RUN, "other", data="other")), False),
        (instructed(op(Op.STEP_RUN, "other", data="else")), True),
        (instructed(op(Op.STEP_RUN, "fresh"), op(Op.STEP_RUN, "other", data="else")), True),
        (instructed(op(Op.STEP, "other", data={"data": "other"})), False),
        (instructed(step_error("other")), True),
        (instructed(step_error("other", Op.STEP_FAILED)), True),
        (instructed(step_error("fresh")), False),
        (instructed(op(Op.SLEEP, "nap")), False),
        (instructed(op(Op.STEP_PLANNED, "other")), False),
        (instructed(op(Op.RUN_COMPLETE, "complete")), False),
    ],
)
def test_a_reply_is_void_when_others_know_better(reply: Reply, void_by_others: bool) -> None:
    """An end, or another result than the journaled one; and never because of what the call saved itself."""
    now = run(placed("before", 1, 0), OWN, OTHER)
    assert is_void(now, changes_during(SENT, now, REFERENCE), reply) is void_by_others
    now = run(placed("before", 1, 0), OWN)
    assert not is_void(now, changes_during(SENT, now, REFERENCE), reply)


@pytest.mark.parametrize(
    ("reply", "alone"),
    [
        (instructed(op(Op.STEP_RUN)), True),
        (instructed(op(Op.STEP)), True),
        (instructed(op(Op.STEP_RUN), op(Op.SLEEP, "nap")), False),
        (instructed(step_error()), False),
        (instructed(), False),
        (returned(), False),
        (raised(), False),
    ],
)
def test_only_one_finished_step_stands_alone(reply: Reply, alone: bool) -> None:
    """Everything else is applied to the journal as it is."""
    assert stands_alone(reply) is alone


def test_what_others_saved_is_told_to_the_function_at_once() -> None:
    """A reply that counts beside what others saved is followed by a discovery, though a sleep is pending."""
    now = run(placed("before", 1, 0), OWN, OTHER, discovered=1)
    reply = instructed(op(Op.SLEEP, "nap", opts={"duration": "1h"}))
    decisions = {
        named: advance(replace(situation(now), changes=found), reply).progress
        for named, found in (
            ("others", changes_during(SENT, now, REFERENCE)),
            ("own", ChangesDuringCall(frozenset({OWN.step_id}))),
        )
    }
    assert [progress and progress.discovered for progress in decisions.values()] == [None, 3]


@pytest.mark.parametrize(
    ("executed", "attempt"),
    [(1, 3), (2, 3), (0, 0)],
)
def test_a_failure_counts_until_a_step_is_executed_in_place(executed: int, attempt: int) -> None:
    """An arrival of a planned step does not start the count anew, a saved step does."""
    of = run(placed("before", 1, 0), entry("arrived", planned=True), attempt=3, executed=executed)
    assert discovery_attempt(of) == attempt


@pytest.mark.parametrize("text", ["", "a:b:c:d", f"{RUN_ID}:1:2", f"{RUN_ID}:1:2:3:4", f"{RUN_ID}:1:-2:3", "a:1:2:²"])
def test_what_is_no_reference_is_none(text: str) -> None:
    """A run id and three numbers, or nothing."""
    assert CallReference.decode(text) is None


@pytest.mark.parametrize("offset", [-5, 0, 7, CALL_SPAN, CALL_SPAN * 3])
def test_a_saved_step_stays_in_its_calls_span(offset: int) -> None:
    """Whatever the SDK's clock says, it is the call's own, and comes before the steps of the reply."""
    place = REFERENCE.place(offset)
    assert CallReference.decode(REFERENCE.encode()) == REFERENCE
    assert REFERENCE.has(place)
    assert Place(1, 2 * CALL_SPAN) <= place < Place(1, 3 * CALL_SPAN - REPLY_SPAN)
