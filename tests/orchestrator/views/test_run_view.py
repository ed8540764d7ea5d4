"""Rows of a trace: order, attempts, output and error of every kind of step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.engine.calls.request import steps_of
from stepwell_orchestrator.model.run import Outcome, Run, RunHeader, RunStatus
from stepwell_orchestrator.model.step import Place, StepEntry, StepStatus
from stepwell_orchestrator.views.run_view import attempts, trace_rows

HEADER = RunHeader("01ARZ3NDEKTSV4RRFFQ69G5FAV", "shop", "shop-f", "a", ("01ARZ3NDEKTSV4RRFFQ69G5FAV",), 1_000)


def entry(name: str, status: StepStatus = StepStatus.COMPLETED, **members: Any) -> StepEntry:
    """A step's entry, called and identified by ``name``."""
    return StepEntry(step_id=name, name=name, op=Op.STEP_RUN, status=status, queued_at_ms=1_000, **members)


def run_of(*entries: StepEntry) -> Run:
    """A run with these entries."""
    return Run(HEADER, (), {each.step_id: each for each in entries})


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (StepStatus.PLANNED, "Cancelled"),
        (StepStatus.RUNNING, "Cancelled"),
        (StepStatus.SLEEPING, "Cancelled"),
        (StepStatus.WAITING, "Cancelled"),
        (StepStatus.ERRORED, "Errored"),
        (StepStatus.COMPLETED, "Completed"),
    ],
)
def test_what_was_still_to_come_was_cancelled_by_the_end(status: StepStatus, shown: str) -> None:
    """A step that had not finished when its run ended is cancelled, and one that failed last has failed."""
    run = run_of(entry("x", status, memo={"data": 1} if status is StepStatus.COMPLETED else None))
    ended = replace(run, header=replace(HEADER, outcome=Outcome(RunStatus.COMPLETED, 2_000)))
    assert [row["status"] for row in trace_rows(ended)] == [shown]


def test_rows_are_in_the_order_of_report() -> None:
    """Rows go by report, then start, then finish; what has not started comes last."""
    planned = entry("a-planned", StepStatus.PLANNED)
    late = entry("a-late", started_at_ms=1_005, memo={"data": 1}, place=Place(1, 0))
    second = entry("b-second", started_at_ms=1_000, memo={"data": 1}, place=Place(1, 2))
    first = entry("c-first", started_at_ms=1_000, memo={"data": 1}, place=Place(1, 1))
    earlier = replace(entry("z-earlier", started_at_ms=1_900), queued_at_ms=900)
    rows = trace_rows(run_of(planned, late, second, first, earlier))
    assert [row["name"] for row in rows] == ["z-earlier", "c-first", "b-second", "a-late", "a-planned"]


@pytest.mark.parametrize(
    ("status", "failed", "expected"),
    [
        (StepStatus.PLANNED, 0, 0),
        (StepStatus.RUNNING, 1, 2),
        (StepStatus.ERRORED, 2, 2),
        (StepStatus.COMPLETED, 2, 3),
        (StepStatus.FAILED, 2, 3),
        (StepStatus.SLEEPING, 0, 1),
        (StepStatus.WAITING, 0, 1),
        (StepStatus.TIMED_OUT, 0, 1),
        (StepStatus.DROPPED, 1, 1),
    ],
)
def test_attempts_count_the_one_under_way(status: StepStatus, failed: int, expected: int) -> None:
    """Attempts are those that failed, and the one that runs, has succeeded, or failed for good."""
    assert attempts(entry("x", status, attempt=failed)) == expected


@pytest.mark.parametrize(
    ("step", "status", "output", "error"),
    [
        (entry("x", memo={"data": [1]}), "Completed", [1], None),
        (entry("x", memo=None), "Completed", None, None),
        (entry("x", memo={"id": "e", "name": "paid"}), "Completed", {"id": "e", "name": "paid"}, None),
        (
            entry("x", StepStatus.FAILED, memo={"error": {"name": "E", "message": "m"}}),
            "Failed",
            None,
            {"name": "E", "message": "m"},
        ),
        (entry("x", StepStatus.ERRORED, error={"name": "E"}), "Errored", None, {"name": "E"}),
        (entry("x", StepStatus.TIMED_OUT, memo=None), "TimedOut", None, None),
        (entry("x", StepStatus.DROPPED), "Cancelled", None, None),
        (entry("x", StepStatus.PLANNED), "Queued", None, None),
    ],
)
def test_row_shows_output_or_error(step: StepEntry, status: str, output: Any, error: Any) -> None:
    """A finished step shows its value or its error, a step to be tried again its last error, any other neither."""
    [row] = trace_rows(run_of(step))
    assert (row["status"], row["output"], row["error"]) == (status, output, error)


def test_steps_of_a_request_are_those_in_the_stack() -> None:
    """A call request's steps are the memos that have a place in the stack, a null among them."""
    placed = entry("placed", memo=None, place=Place(1, 0))
    run = run_of(placed, entry("arrived", memo={"data": 1}), entry("planned", StepStatus.PLANNED))
    assert steps_of(run) == {"placed": None}


def test_a_step_with_new_arguments_is_queued() -> None:
    """A step that was given arguments and not tried yet shows as queued; once it failed, as errored."""
    waiting = entry("x", StepStatus.ERRORED, arguments=(7,))
    assert [trace_rows(run_of(step))[0]["status"] for step in (waiting, replace(waiting, attempt=1))] == [
        "Queued",
        "Errored",
    ]
    assert steps_of(run_of(waiting)) == {"x": {"input": [7]}}
