"""Every answer a function can give becomes exactly these writes and commands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op
from stepwell.wire.reply import Failed
from stepwell_orchestrator.engine.calls.advance import advance
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.model.decision import Decision, Emit, EndRun, PutEntry, PutProgress
from stepwell_orchestrator.model.run import Outcome, RunStatus
from stepwell_orchestrator.model.step import Place, StepEntry, StepStatus
from tests.orchestrator.engine.builders import (
    NOW_MS,
    RUN_ID,
    entry,
    event,
    instructed,
    op,
    placed,
    raised,
    reply,
    returned,
    run,
    situation,
    step_error,
)

A = hash_step_id("a")


def the_entry(decision: Decision) -> StepEntry:
    puts = [write for write in decision.writes if isinstance(write, PutEntry)]
    assert len(puts) == 1
    return puts[0].entry


def the_end(decision: Decision) -> Outcome:
    ends = [write.outcome for write in decision.writes if isinstance(write, EndRun)]
    assert len(ends) == 1
    return ends[0]


def emitted(decision: Decision) -> list[str]:
    return [command.event.name for command in decision.commands if isinstance(command, Emit)]


def test_a_step_that_ran_is_one_guarded_write() -> None:
    """A sequential step costs a single put, guarded by its absence, with its place and its wrapped result."""
    decision = advance(situation(run(placed("z", 1, 0))), instructed(op(Op.STEP_RUN, data={"n": 1})))
    assert decision.commands == ()
    (write,) = decision.writes
    assert isinstance(write, PutEntry)
    assert write.replaced is None
    assert (write.entry.status, write.entry.memo) == (StepStatus.COMPLETED, {"data": {"n": 1}})
    assert write.entry.place == Place(1, 1)
    assert write.entry.size_bytes == len(b'{"data":{"n":1}}')
    assert decision.progress is not None
    assert decision.progress.discovered is None


def test_a_legacy_step_is_stored_unwrapped() -> None:
    """The old Step opcode's data is the memo itself."""
    assert the_entry(advance(situation(run()), instructed(op(Op.STEP, data=7)))).memo == 7


def test_several_results_of_one_reply_keep_their_order() -> None:
    """Results that come in one reply get places one after the other."""
    decision = advance(situation(run()), instructed(op(Op.STEP_RUN, "a", data=1), op(Op.STEP_RUN, "b", data=2)))
    assert [write.entry.place for write in decision.writes if isinstance(write, PutEntry)] == [Place(1, 0), Place(1, 1)]


def test_a_memoised_step_keeps_its_first_result() -> None:
    """A second result for a step changes nothing and starts no loop of discoveries."""
    decision = advance(situation(run(placed("a", 1, 0), discovered=1)), instructed(op(Op.STEP_RUN, data="second")))
    assert not [write for write in decision.writes if isinstance(write, PutEntry)]


def test_planned_steps_are_queued_once_each() -> None:
    """Each planned step becomes an entry and a queue item; one that is known is left alone."""
    known = entry("b", StepStatus.PLANNED, planned=True)
    decision = advance(situation(run(known)), instructed(op(Op.STEP_PLANNED, "a"), op(Op.STEP_PLANNED, "b")))
    assert the_entry(decision).status is StepStatus.PLANNED
    assert the_entry(decision).planned
    assert decision.commands == (items.execute(run().header, A, 0, NOW_MS),)
    assert decision.progress is not None
    assert decision.progress.discovered == 0


def test_a_dropped_step_comes_back_when_planned_again() -> None:
    """Planning a dropped step again queues it under its next attempt, whose item cannot be mistaken for the old one."""
    dropped = entry("a", StepStatus.DROPPED, attempt=1)
    decision = advance(situation(run(dropped)), instructed(op(Op.STEP_PLANNED)))
    assert decision.commands == (items.execute(run().header, A, 1, NOW_MS),)


@pytest.mark.parametrize(
    ("mode", "version", "race"), [("race", 2, True), ("wait", 2, False), (None, 2, False), (None, 1, True)]
)
def test_the_parallel_mode_is_kept_with_the_step(mode: str | None, version: int, race: bool) -> None:
    """A step races when the SDK says so, or when it speaks a version that knows no joining."""
    opts = {} if mode is None else {"parallelMode": mode}
    answer = replace(instructed(op(Op.STEP_PLANNED, opts=opts)), request_version=version)
    assert the_entry(advance(situation(run()), answer)).race is race


@pytest.mark.parametrize(
    ("opcode", "due_ms"),
    [
        (op(Op.SLEEP, opts={"duration": "30s"}), 30_000),
        (replace(op(Op.SLEEP), name="1h30m"), 5_400_000),
        (replace(op(Op.SLEEP), name="2027-01-15T08:00:00Z"), 0),
        (op(Op.SLEEP, opts={"duration": "366d"}), 366 * 86_400_000),
    ],
)
def test_a_sleep_sets_one_timer(opcode: object, due_ms: int) -> None:
    """A sleep's end is fixed when it is reported: from its option, or from its name as older SDKs send it."""
    decision = advance(situation(run()), instructed(opcode))  # type: ignore[arg-type]
    assert the_entry(decision).status is StepStatus.SLEEPING
    assert the_entry(decision).due_at_ms == NOW_MS + due_ms
    assert decision.commands == (items.timer(RUN_ID, A, NOW_MS + due_ms),)


def test_a_repeated_sleep_keeps_its_first_end() -> None:
    """Reporting a sleep again moves no timer."""
    sleeping = entry("a", StepStatus.SLEEPING, op=Op.SLEEP, due_at_ms=NOW_MS + 5)
    decision = advance(situation(run(sleeping)), instructed(op(Op.SLEEP, opts={"duration": "1h"})))
    assert (decision.writes, decision.commands) == ((), ())


@pytest.mark.parametrize(
    ("duration", "name"),
    [("367d", "InngestErrTimeoutTooLong"), ("soon", "InvalidTime"), ("999999w", "InngestErrTimeoutTooLong")],
)
def test_an_impossible_sleep_fails_the_run(duration: str, name: str) -> None:
    """A sleep that is too long, or no time at all, is a final error that names the step."""
    outcome = the_end(advance(situation(run()), instructed(op(Op.SLEEP, opts={"duration": duration}))))
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert outcome.error["name"] == name
    assert 'step "a"' in outcome.error["message"]


def test_a_failed_attempt_in_place_backs_off_the_discovery() -> None:
    """The step's entry keeps the error, the run's progress the next attempt, and one queue item wakes it."""
    decision = advance(situation(run()), instructed(step_error()))
    assert the_entry(decision).status is StepStatus.ERRORED
    assert (the_entry(decision).attempt, the_entry(decision).planned) == (1, False)
    assert the_entry(decision).error == {"name": "ValueError", "message": "no"}
    (progress,) = [write.progress for write in decision.writes if isinstance(write, PutProgress)]
    assert (progress.attempt, progress.retry_at_ms) == (1, NOW_MS + 1_000)
    assert decision.commands == (items.retry(RUN_ID, NOW_MS + 1_000),)


def test_success_after_a_retry_resets_the_attempts() -> None:
    """The next step starts with all its attempts; that is stored at once, with the result."""
    decision = advance(situation(run(attempt=2, retry_at_ms=NOW_MS)), instructed(op(Op.STEP_RUN, data=1)))
    (progress,) = [write.progress for write in decision.writes if isinstance(write, PutProgress)]
    assert (progress.attempt, progress.retry_at_ms) == (0, None)


def test_retry_after_overrides_the_back_off() -> None:
    """The function chooses when its next attempt starts."""
    decision = advance(situation(run()), instructed(step_error(), retry_at_ms=NOW_MS + 77))
    assert decision.commands == (items.retry(RUN_ID, NOW_MS + 77),)


@pytest.mark.parametrize(
    ("answer", "attempt"),
    [
        (instructed(step_error()), 4),
        (instructed(step_error(), no_retry=True), 0),
        (instructed(step_error(no_retry=True)), 0),
        (instructed(step_error(kind=Op.STEP_FAILED)), 0),
    ],
)
def test_a_step_that_may_not_retry_is_memoised_as_failed(answer: object, attempt: int) -> None:
    """The last attempt, a non-retriable error and StepFailed alike end the step, not the run."""
    decision = advance(situation(run(attempt=attempt)), answer)  # type: ignore[arg-type]
    assert the_entry(decision).status is StepStatus.FAILED
    assert the_entry(decision).memo == {"error": {"name": "ValueError", "message": "no"} | _extra(answer)}
    assert not [write for write in decision.writes if isinstance(write, EndRun)]
    assert decision.progress is not None
    assert decision.progress.discovered is None


def _extra(answer: object) -> dict[str, bool]:
    return {"noRetry": True} if answer == instructed(step_error(no_retry=True)) else {}


def test_a_planned_steps_attempts_are_its_own() -> None:
    """A targeted call that fails re-queues that step alone."""
    planned = entry("a", StepStatus.RUNNING, planned=True, attempt=2)
    decision = advance(situation(run(planned), "a"), instructed(step_error()))
    assert (the_entry(decision).status, the_entry(decision).attempt) == (StepStatus.ERRORED, 3)
    assert decision.commands == (items.execute(run().header, A, 3, NOW_MS + 1_000),)
    assert not [write for write in decision.writes if isinstance(write, PutProgress)]


def test_a_planned_steps_result_has_no_place_yet() -> None:
    """Only the holder of the drive lease gives places."""
    planned = entry("a", StepStatus.RUNNING, planned=True)
    decision = advance(situation(run(planned), "a"), instructed(op(Op.STEP_RUN, data=1)))
    assert the_entry(decision).place is None
    assert decision.writes[0] == PutEntry(the_entry(decision), planned)


@pytest.mark.parametrize("answer", [returned(5), instructed(), instructed(op(Op.STEP_PLANNED, "other"))])
def test_a_targeted_call_without_its_target_drops_the_step(answer: object) -> None:
    """The function no longer has the step: the run goes on without it, and a bare return does not end it."""
    planned = entry("a", StepStatus.RUNNING, planned=True)
    decision = advance(situation(run(planned), "a"), answer)  # type: ignore[arg-type]
    dropped = [w.entry for w in decision.writes if isinstance(w, PutEntry) and w.entry.step_id == A]
    assert [item.status for item in dropped] == [StepStatus.DROPPED]
    assert not [write for write in decision.writes if isinstance(write, EndRun)]


def test_a_return_ends_the_run_and_tells_it_once() -> None:
    """The result is the output, whatever is pending, and the finished event carries it."""
    decision = advance(situation(run(entry("b", StepStatus.SLEEPING))), returned({"ok": True}))
    assert the_end(decision) == Outcome(RunStatus.COMPLETED, NOW_MS, {"ok": True})
    assert emitted(decision) == ["inngest/function.finished"]


def test_run_complete_saves_what_came_with_it() -> None:
    """Steps reported together with the run's completion are journaled in the same commit."""
    decision = advance(
        situation(run()), instructed(op(Op.STEP_RUN, data=1), op(Op.RUN_COMPLETE, "complete", data={"ok": 1}))
    )
    assert the_entry(decision).memo == {"data": 1}
    assert the_end(decision).output == {"ok": 1}


def test_a_raising_function_is_tried_again() -> None:
    """A function-level failure with attempts left only schedules the next discovery."""
    decision = advance(situation(run()), raised())
    assert decision.commands == (items.retry(RUN_ID, NOW_MS + 1_000),)
    assert [type(write) for write in decision.writes] == [PutProgress]


@pytest.mark.parametrize(("answer", "attempt"), [(raised(), 4), (raised(no_retry=True), 0)])
@pytest.mark.parametrize("target", [None, "a"])
def test_the_last_function_failure_fails_the_run(answer: object, attempt: int, target: str | None) -> None:
    """On a discovery and on a targeted call alike; the output keeps the error body as it was sent."""
    planned = entry("a", StepStatus.RUNNING, planned=True, attempt=attempt)
    decision = advance(situation(run(planned, attempt=attempt), target), answer)  # type: ignore[arg-type]
    outcome = the_end(decision)
    assert outcome.output == {"name": "KeyError", "message": "gone", "code": "unknown"}
    assert outcome.error == {"error": "KeyError: gone", "name": "KeyError", "message": "gone"}
    assert emitted(decision) == ["inngest/function.finished", "inngest/function.failed"]


@pytest.mark.parametrize(
    ("status", "no_retry", "summary"),
    [
        (500, False, "invalid status code: 500"),
        (502, False, "invalid status code: 502"),
        (400, True, "NonRetriableError"),
        (None, True, "KeyError: gone"),
    ],
)
def test_a_failure_is_summed_up_by_its_status(status: int | None, no_retry: bool, summary: str) -> None:
    """Handlers of failures see what the reply was, or what failed on our side when there was none."""
    reply = raised(no_retry=no_retry)
    assert isinstance(reply.outcome, Failed)
    reply = replace(reply, outcome=replace(reply.outcome, status=status))
    error = the_end(advance(situation(run(attempt=4)), reply)).error
    assert error is not None
    assert error["error"] == summary


@pytest.mark.parametrize("name", ["inngest/function.failed", "inngest/function.finished"])
def test_runs_on_lifecycle_events_emit_none(name: str) -> None:
    """The loop guard: a handler of failures cannot trigger itself."""
    assert emitted(advance(situation(run(trigger=event(name))), raised(no_retry=True))) == []


def test_nothing_to_do_is_not_a_silent_stall() -> None:
    """An empty reply while nothing is pending is retried like a failure, so the run cannot hang."""
    decision = advance(situation(run()), instructed())
    assert decision.commands == (items.retry(RUN_ID, NOW_MS + 1_000),)


def test_nothing_new_while_steps_are_pending_just_waits() -> None:
    """An empty reply while something is pending changes nothing."""
    decision = advance(situation(run(entry("b", StepStatus.SLEEPING))), instructed())
    assert (decision.writes, decision.commands) == ((), ())


@pytest.mark.parametrize(
    ("limits", "answer", "name", "hint"),
    [
        (Limits(steps_per_run=1), instructed(op(Op.STEP_RUN, "n", data=1)), "InngestErrFunctionOverflowed", "1 steps"),
        (
            Limits(opcodes_per_reply=1),
            instructed(op(Op.SLEEP), op(Op.SLEEP, "b")),
            "InngestErrFunctionOverflowed",
            "smaller groups",
        ),
        (Limits(step_bytes=12), instructed(op(Op.STEP_RUN, "n", data="x" * 20)), "output_too_large", 'step "n"'),
        (
            Limits(run_bytes=25),
            instructed(op(Op.STEP_RUN, "n", data="xxxxxxx")),
            "InngestErrStateOverflowed",
            "together",
        ),
    ],
)
def test_limits_fail_the_run_for_good(limits: Limits, answer: object, name: str, hint: str) -> None:
    """Each bound has its own final error, which says the limit and the way out; the offending write is not made."""
    decision = advance(situation(run(placed("z", 1, 0)), limits=limits), answer)  # type: ignore[arg-type]
    outcome = the_end(decision)
    assert outcome.error is not None
    assert outcome.error["name"] == name
    assert hint in outcome.error["message"]
    assert not [write for write in decision.writes if isinstance(write, PutEntry)]


@pytest.mark.parametrize(
    ("before", "told", "after"), [((0, 0), (1, 2), (1, 2)), ((2, 0), (1, 9), (2, 0)), ((1, 1), None, (1, 1))]
)
def test_how_far_the_lines_have_come_is_learned_from_the_reply(
    before: tuple[int, int], told: tuple[int, int] | None, after: tuple[int, int]
) -> None:
    """The furthest that a discovery has told is kept, whether it came to rest or failed."""
    rested = instructed(op(Op.SLEEP, opts={"duration": "1m"}))
    for answer in (rested, raised()):
        outcome = replace(answer.outcome, said=told)  # type: ignore[type-var]
        decision = advance(situation(run(said=before)), replace(answer, outcome=outcome))
        assert decision.progress.said == after


def test_the_request_version_is_learned_from_the_reply() -> None:
    """The first reply tells which version of the protocol the run's function speaks."""
    decision = advance(situation(run(version=-1)), reply(instructed(op(Op.SLEEP, opts={"duration": "1s"})).outcome, 2))
    assert decision.progress is not None
    assert decision.progress.request_version == 2
