from __future__ import annotations

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.cli.demo.tally import StepTally, Tally
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import RunStatus


def count(*notices: tuple[NoticeKind, dict[str, object]]) -> Tally:
    tally = Tally()
    for kind, members in notices:
        tally(Notice(at_ms=0, kind=kind, function_id="shop-fulfil", **members))  # type: ignore[arg-type]  # a table
    return tally


def test_steps_are_counted_by_name_with_their_retries_and_times():
    """A step's attempts that fail are retries, and only its last attempt's time counts."""
    charge = {"subject": "charge", "op": Op.STEP_RUN}
    tally = count(
        (NoticeKind.STEP_RETRYING, {**charge, "duration_ms": 900}),
        (NoticeKind.STEP_COMPLETED, {**charge, "duration_ms": 30}),
        (NoticeKind.STEP_COMPLETED, {**charge, "duration_ms": 50}),
        (NoticeKind.STEP_FAILED, {"subject": "award", "duration_ms": 7}),
    )
    assert tally.steps == {
        ("shop-fulfil", "charge"): StepTally(ended=2, failed=0, retries=1, total_ms=80, longest_ms=50),
        ("shop-fulfil", "award"): StepTally(ended=1, failed=1, retries=0, total_ms=7, longest_ms=7),
    }
    assert (tally.steps_ended, tally.retries) == (3, 1)


def test_runs_are_counted_by_function_and_status():
    """A run counts once when it is created and once, by its status, when it ends."""
    tally = count(
        (NoticeKind.RUN_CREATED, {}),
        (NoticeKind.RUN_CREATED, {}),
        (NoticeKind.RUN_CREATED, {}),
        (NoticeKind.RUN_STARTED, {}),
        (NoticeKind.RUN_COMPLETED, {}),
        (NoticeKind.RUN_FAILED, {}),
    )
    assert dict(tally.runs) == {("shop-fulfil", RunStatus.COMPLETED): 1, ("shop-fulfil", RunStatus.FAILED): 1}
    assert (tally.created, tally.ended) == (3, 2)


def test_events_calls_and_function_retries_are_counted():
    """Function retries count as retries; what is merely planned or asleep counts as nothing."""
    tally = count(
        (NoticeKind.EVENT_RECEIVED, {}),
        (NoticeKind.CALLED, {}),
        (NoticeKind.CALLED, {}),
        (NoticeKind.FUNCTION_RETRYING, {}),
        (NoticeKind.STEP_PLANNED, {"subject": "charge"}),
        (NoticeKind.STEP_SLEEPING, {"subject": "nap"}),
    )
    assert (tally.events, tally.calls, tally.retries, tally.steps) == (1, 2, 1, {})
