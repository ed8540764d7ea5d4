"""A step becomes another kind by new code: what its old entry does, for every pair of kinds and every state of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Final

import pytest

from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.engine.calls.advance import advance
from stepwell_orchestrator.engine.calls.recover import recover
from stepwell_orchestrator.engine.calls.request import call_request
from stepwell_orchestrator.engine.waits.waiting import give_up
from stepwell_orchestrator.model.decision import Decision, PutEntry
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.model.step_kind import StepKind, kind_of
from stepwell_orchestrator.views.run_view import attempts
from tests.orchestrator.engine.builders import (
    FUNCTION,
    NOW_MS,
    RUN_ID,
    entry,
    instructed,
    op,
    run,
    situation,
    step_error,
)

A: Final = hash_step_id("a")
OTHER: Final = entry("other", StepStatus.SLEEPING, op=Op.SLEEP, due_at_ms=NOW_MS + 9_000)

REPORTS: Final = {
    StepKind.RUN: op(Op.STEP_PLANNED),
    StepKind.SLEEP: op(Op.SLEEP, opts={"duration": "30s"}),
    StepKind.WAIT_FOR_EVENT: op(Op.WAIT_FOR_EVENT, opts={"event": "paid", "timeout": "1h"}),
    StepKind.WAIT_FOR_SIGNAL: op(Op.WAIT_FOR_SIGNAL, opts={"signal": "go", "timeout": "1h"}),
    StepKind.INVOKE: op(Op.INVOKE_FUNCTION, opts={"function_id": "shop-other"}),
    StepKind.INFER: op(Op.AI_GATEWAY, opts={"url": "http://model.test"}),
    StepKind.FETCH: op(Op.GATEWAY, opts={"url": "http://api.test"}),
}
"""How each kind is first reported."""

REQUESTED: Final = {StepKind.RUN, StepKind.INFER, StepKind.FETCH}
"""The kinds that a call of their own executes."""

STATES: Final = {
    "planned": StepStatus.PLANNED,
    "errored": StepStatus.ERRORED,
    "waiting": StepStatus.WAITING,
    "sleeping": StepStatus.SLEEPING,
}
PAIRS: Final = list(itertools.permutations(StepKind, 2))


def states(kind: StepKind) -> list[str]:
    """The states in which an entry of a kind may be before it finishes."""
    if kind in REQUESTED:
        return ["planned", "errored"]
    return ["sleeping"] if kind is StepKind.SLEEP else ["waiting"]


ROWS: Final = [(old, new, state) for old, new in PAIRS for state in states(old)]


def reported(kind: StepKind) -> StepEntry:
    """The entry as older code reported it, at an attempt that its successor must not be taken for."""
    puts = the_puts(advance(situation(run()), instructed(REPORTS[kind])))
    return replace(puts[0], attempt=2)


def the_puts(decision: Decision) -> list[StepEntry]:
    return [write.entry for write in decision.writes if isinstance(write, PutEntry)]


def finished(kind: StepKind) -> StepEntry:
    return replace(reported(kind), status=StepStatus.COMPLETED, memo={"data": 1})


def let_go(old: StepEntry) -> tuple[object, ...]:
    """What must be given up with an old entry."""
    return give_up(RUN_ID, old) if old.status is StepStatus.WAITING else ()


def check_new(decision: Decision, old: StepEntry, new: StepKind) -> None:
    """The new step goes on under a number of its own, with all it needs, and the old one holds nothing any more."""
    (put,) = the_puts(decision)
    assert kind_of(put.op) is new
    assert put.attempt == old.attempt + 1
    assert put.pending
    assert (put.memo, put.error, put.claim_until_ms, put.place) == (None, None, None, None)
    assert [write.replaced for write in decision.writes if isinstance(write, PutEntry)] == [old]
    released = let_go(old)
    assert decision.commands[: len(released)] == released
    assert decision.commands == recover(run(put), NOW_MS)


@pytest.mark.parametrize(("old_kind", "new_kind", "state"), ROWS)
def test_an_unfinished_step_gives_way_in_a_discovery(old_kind: StepKind, new_kind: StepKind, state: str) -> None:
    """What has not finished is let go with all it holds, and the step goes on as what it is now."""
    old = replace(reported(old_kind), status=STATES[state], error={"name": "E", "message": "old"})
    decision = advance(situation(run(old, OTHER)), instructed(REPORTS[new_kind]))
    check_new(decision, old, new_kind)


@pytest.mark.parametrize(("old_kind", "new_kind"), [pair for pair in PAIRS if pair[0] in REQUESTED])
def test_a_step_that_failed_in_place_gives_way(old_kind: StepKind, new_kind: StepKind) -> None:
    """A failed attempt in place leaves nothing queued, and the step begins anew as the other kind."""
    old = replace(reported(old_kind), status=StepStatus.ERRORED, planned=False, due_at_ms=NOW_MS + 1_000)
    check_new(advance(situation(run(old, attempt=1)), instructed(REPORTS[new_kind])), old, new_kind)


@pytest.mark.parametrize(("old_kind", "new_kind"), [pair for pair in PAIRS if pair[0] in REQUESTED])
def test_a_targeted_step_gives_way(old_kind: StepKind, new_kind: StepKind) -> None:
    """The answer to the call that is to execute a step says what it is now."""
    old = replace(reported(old_kind), status=StepStatus.RUNNING, claim_until_ms=NOW_MS + 9, claimed_at_ms=NOW_MS - 9)
    check_new(advance(situation(run(old), "a"), instructed(REPORTS[new_kind])), old, new_kind)


@pytest.mark.parametrize(("old_kind", "new_kind"), [pair for pair in PAIRS if pair[0] in REQUESTED])
def test_a_step_that_is_executing_is_let_finish(old_kind: StepKind, new_kind: StepKind) -> None:
    """While another call executes the old step nothing changes, for its result comes as if it had come before."""
    old = replace(reported(old_kind), status=StepStatus.RUNNING, claim_until_ms=NOW_MS + 9, claimed_at_ms=NOW_MS - 9)
    decision = advance(situation(run(old)), instructed(REPORTS[new_kind]))
    assert (decision.writes, decision.commands) == ((), ())


@pytest.mark.parametrize(("old_kind", "new_kind"), PAIRS)
def test_a_finished_step_stays(old_kind: StepKind, new_kind: StepKind) -> None:
    """A result once journaled never changes, whatever the step is now."""
    decision = advance(situation(run(finished(old_kind), OTHER)), instructed(REPORTS[new_kind]))
    assert (decision.writes, decision.commands) == ((), ())


@pytest.mark.parametrize("old_kind", [kind for kind in StepKind if kind is not StepKind.RUN])
@pytest.mark.parametrize(
    "ended", [op(Op.STEP_RUN, data=5), step_error(kind=Op.STEP_FAILED)], ids=["returned", "failed"]
)
def test_a_step_that_ran_in_place_takes_over(old_kind: StepKind, ended: Opcode) -> None:
    """A step that is a run now, and was executed at once, has its own result and nothing of the old one's."""
    old = replace(reported(old_kind), planned=old_kind in REQUESTED)
    decision = advance(situation(run(old)), instructed(ended))
    (put,) = the_puts(decision)
    assert put.memoised
    assert kind_of(put.op) is StepKind.RUN
    assert decision.commands == let_go(old)


@pytest.mark.parametrize("kind", list(StepKind))
def test_a_step_of_the_same_kind_stands(kind: StepKind) -> None:
    """Reporting an unfinished step again changes nothing."""
    decision = advance(situation(run(reported(kind))), instructed(REPORTS[kind]))
    assert (decision.writes, decision.commands) == ((), ())


@pytest.mark.parametrize("anew", ["another kind", "dropped"])
def test_a_step_that_begins_anew_has_all_its_retries(anew: str) -> None:
    """The attempt of its claim goes on from the old step's, and the attempts that its function is told of from 0."""
    old = replace(reported(StepKind.SLEEP), attempt=3)
    if anew == "dropped":
        old = replace(reported(StepKind.RUN), attempt=3, status=StepStatus.DROPPED)
    (planned,) = the_puts(advance(situation(run(old, OTHER)), instructed(REPORTS[StepKind.RUN])))
    claimed = [planned.attempt]
    for told in range(2):
        claim = run(replace(planned, status=StepStatus.RUNNING), OTHER)
        assert call_request(claim, FUNCTION, target=A, now_ms=NOW_MS).ctx.attempt == told
        (planned,) = the_puts(advance(situation(claim, "a", max_attempts=3), instructed(step_error())))
        assert planned.status is StepStatus.ERRORED
        claimed.append(planned.attempt)
    assert claimed == list(range(claimed[0], claimed[0] + 3))
    assert claimed[0] >= old.attempt
    last = run(replace(planned, status=StepStatus.RUNNING), OTHER)
    (failed,) = the_puts(advance(situation(last, "a", max_attempts=3), instructed(step_error())))
    assert failed.status is StepStatus.FAILED
    assert attempts(failed) == 3
