"""The runs that a run's invocations start, and what becomes of them when it is cancelled.

A child's id follows from the invoking step's entry, so that it is known whether or not the child exists yet.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepwell_orchestrator.engine.runs.route import run_id_of
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.engine.waits.waiting import invoked_event
from stepwell_orchestrator.model.decision import Command
from stepwell_orchestrator.model.run import Outcome, Run, RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.model.step_kind import StepKind, kind_of


def cancellations(run: Run, outcome: Outcome) -> Iterator[Command]:
    """The cancellations of the children that a run waited for when it ended with ``outcome``; their order is theirs."""
    for entry in run.entries.values():
        if falls_with_caller(entry, outcome):
            child_id = run_id_of(invoked_event(run, entry), entry.opts["function_id"])
            yield items.cancel(child_id, outcome.ended_at_ms)


def falls_with_caller(entry: StepEntry, outcome: Outcome | None) -> bool:
    """Whether the run that a step invoked is to be cancelled, given how the step's own run ended, if it has.

    It is when that run was cancelled, waited for it, and was to take it along. A step that timed out, or that the
    function gave up, waits no longer.
    """
    is_awaited = entry.status is StepStatus.WAITING and kind_of(entry.op) is StepKind.INVOKE
    is_taken_along = is_awaited and entry.opts.get("on_parent_cancel") == "cancel"
    return is_taken_along and outcome is not None and outcome.status is RunStatus.CANCELLED
