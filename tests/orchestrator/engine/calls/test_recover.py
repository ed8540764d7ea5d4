"""Everything a dead driver may have left undone can be read off the journal."""

from __future__ import annotations

from dataclasses import replace

from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.engine.calls.recover import recover
from stepwell_orchestrator.engine.runs.ending import cancelled
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.decision import Emit
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.engine.builders import NOW_MS, RUN_ID, entry, placed, run


def test_pending_steps_get_their_items_again() -> None:
    """Planned steps, retries and timers are repeated under the ids they had; finished steps are not."""
    of = run(
        placed("done", 1, 0),
        entry("plan", StepStatus.PLANNED, planned=True),
        entry("busy", StepStatus.RUNNING, planned=True, attempt=1),
        entry("flaky", StepStatus.ERRORED, planned=True, attempt=2, due_at_ms=NOW_MS + 9),
        entry("nap", StepStatus.SLEEPING, due_at_ms=NOW_MS + 50),
        entry("gone", StepStatus.DROPPED),
        retry_at_ms=NOW_MS + 3,
    )
    assert set(recover(of, NOW_MS)) == {
        items.execute(run().header, hash_step_id("plan"), 0, NOW_MS),
        items.execute(run().header, hash_step_id("busy"), 1, NOW_MS),
        items.execute(run().header, hash_step_id("flaky"), 2, NOW_MS + 9),
        items.timer(RUN_ID, hash_step_id("nap"), NOW_MS + 50),
        items.retry(RUN_ID, NOW_MS + 3),
    }


def test_an_ended_run_tells_its_end_again_with_the_same_ids() -> None:
    """Closing a run twice emits events that are recognised as the ones before."""
    of = run(entry("nap", StepStatus.SLEEPING, due_at_ms=NOW_MS))
    ended = replace(of, header=replace(of.header, outcome=cancelled(NOW_MS)))
    first, second = recover(ended, NOW_MS), recover(ended, NOW_MS + 60_000)
    assert first == second
    events = [command.event for command in first if isinstance(command, Emit)]
    assert [item.name for item in events] == ["inngest/function.finished", "inngest/function.cancelled"]
    assert events[1].id == RUN_ID
    assert "result" not in events[0].data
    assert "error" not in events[0].data
