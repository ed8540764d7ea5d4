"""The call request says what the journal says."""

from __future__ import annotations

from stepwell.wire.ids import hash_step_id, is_ulid
from stepwell_orchestrator.engine.calls.request import call_request
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.engine.builders import FUNCTION, NOW_MS, RUN_ID, entry, placed, run


def test_a_discovery_carries_stack_and_memos() -> None:
    """Only memoised steps are sent, in stack order, with the discovery's attempt."""
    of = run(placed("b", 1, 1), placed("a", 1, 0, memo=None), attempt=2, executed=2, term=3)
    request = call_request(of, FUNCTION, target=None, now_ms=NOW_MS)
    a, b = hash_step_id("a"), hash_step_id("b")
    assert request.ctx.stack == (a, b)
    assert request.steps == {a: None, b: {"data": "b"}}
    assert (request.ctx.attempt, request.ctx.max_attempts, request.ctx.run_id) == (2, 5, RUN_ID)
    assert (request.ctx.disable_immediate_execution, request.ctx.generation_id) == (False, 3)
    assert is_ulid(request.ctx.request_id)
    assert request.version == 2


def test_new_steps_are_planned_while_others_are_pending() -> None:
    """With anything planned, sleeping or executing, the function must not execute in place."""
    of = run(entry("b", StepStatus.SLEEPING))
    assert call_request(of, FUNCTION, target=None, now_ms=NOW_MS).ctx.disable_immediate_execution


def test_a_targeted_call_has_the_steps_own_attempt() -> None:
    """The attempt of a planned step is its entry's, and its step is not among the memos."""
    of = run(entry("a", StepStatus.RUNNING, planned=True, attempt=3), attempt=1)
    request = call_request(of, FUNCTION, target=hash_step_id("a"), now_ms=NOW_MS)
    assert request.ctx.attempt == 3
    assert request.steps == {}
    assert request.ctx.disable_immediate_execution
