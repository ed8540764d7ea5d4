"""A discovery is owed exactly when the function could go on."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.engine.journal.discovery import has_pending, owes_discovery
from stepwell_orchestrator.engine.runs.ending import completed
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from tests.orchestrator.engine.builders import NOW_MS, entry, placed, run

DONE = placed("done", 1, 0)
RACER = placed("racer", 1, 0, race=True)
PLANNED = entry("planned", StepStatus.PLANNED, planned=True)
GONE = entry("gone", StepStatus.DROPPED)
SLEEPING = entry("nap", StepStatus.SLEEPING)
RETRIED_IN_PLACE = entry("flaky", StepStatus.ERRORED, attempt=1)
RETRIED_BY_ITEM = entry("flaky", StepStatus.ERRORED, attempt=1, planned=True)


@pytest.mark.parametrize(
    ("entries", "progress", "owed"),
    [
        ((), {}, True),
        ((DONE,), {"discovered": 0}, True),
        ((DONE, PLANNED), {"discovered": 1}, False),
        ((DONE,), {"discovered": 1}, True),
        ((GONE,), {"discovered": 0}, True),
        ((GONE, SLEEPING), {"discovered": 0}, False),
        ((DONE, PLANNED), {"discovered": 0}, False),
        ((DONE, SLEEPING), {"discovered": 0}, False),
        ((DONE, RETRIED_BY_ITEM), {"discovered": 0}, False),
        ((RACER, PLANNED), {"discovered": 0}, True),
        ((RACER, PLANNED), {"discovered": 1}, False),
        ((DONE, PLANNED), {"discovered": 0, "version": 1}, True),
        ((DONE,), {"discovered": None}, True),
        ((DONE, PLANNED), {"discovered": None}, True),
        ((RETRIED_IN_PLACE,), {"discovered": None, "attempt": 1, "retry_at_ms": NOW_MS}, True),
        ((RETRIED_IN_PLACE,), {"discovered": None, "attempt": 1, "retry_at_ms": NOW_MS + 1}, False),
        ((RACER, PLANNED), {"discovered": 0, "attempt": 1, "retry_at_ms": NOW_MS + 1}, False),
    ],
)
def test_when_a_discovery_is_owed(entries: tuple[StepEntry, ...], progress: dict[str, Any], owed: bool) -> None:
    """Joined steps wait for the last of them, racing ones do not; nothing happens in a delay."""
    assert owes_discovery(run(*entries, **progress), NOW_MS) is owed


def test_an_ended_run_owes_nothing() -> None:
    """No discovery follows the end of a run."""
    of: Run = run()
    from dataclasses import replace

    ended = replace(of, header=replace(of.header, outcome=completed(None, NOW_MS)))
    assert not owes_discovery(ended, NOW_MS)


@pytest.mark.parametrize(
    ("item", "pending"),
    [
        (DONE, False),
        (PLANNED, True),
        (SLEEPING, True),
        (RETRIED_BY_ITEM, True),
        (RETRIED_IN_PLACE, False),
        (entry("gone", StepStatus.DROPPED), False),
        (entry("busy", StepStatus.RUNNING, planned=True), True),
    ],
)
def test_what_counts_as_pending(item: StepEntry, pending: bool) -> None:
    """Only a step that something other than the next discovery finishes makes the others wait."""
    assert has_pending(run(item)) is pending
