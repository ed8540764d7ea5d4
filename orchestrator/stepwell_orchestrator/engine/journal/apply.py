"""Writes applied to a run give the next run: the fold the stores perform, so that a driver needs no second read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from stepwell_orchestrator.model.decision import EndRun, PutEntry, PutProgress, Write
from stepwell_orchestrator.model.run import Run


def apply(run: Run, writes: Sequence[Write]) -> Run:
    """The run after a commit of ``writes``."""
    entries = dict(run.entries)
    header = run.header
    for write in writes:
        match write:
            case PutEntry(entry):
                entries[entry.step_id] = entry
            case PutProgress(progress):
                header = replace(header, progress=progress)
            case EndRun(outcome):
                header = replace(header, outcome=outcome)
            case _:
                assert_never(write)
    return replace(run, header=header, entries=entries)
