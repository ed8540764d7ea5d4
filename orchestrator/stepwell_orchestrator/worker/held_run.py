"""A run in its driver's hands."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stepwell_orchestrator.model.function import Function
from stepwell_orchestrator.model.run import Outcome, Progress, Run


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run whose drive lease this worker has taken, as far along as its driver knows it to be.

    ``run`` carries the driver's own progress; ``stored`` is the progress that the journal has. ``term`` and ``wanted``
    are what they were when the lease was taken: the header in ``run`` is read anew now and then. ``calls`` counts the
    discoveries of this term. ``seen_at_ms`` is when the header was last found in force, None after a call. ``freed``:
    the run ended by a commit that gave the lease back with it.
    """

    run: Run
    function: Function | None
    stored: Progress
    term: int
    wanted: int
    seen_at_ms: int | None = None
    calls: int = 0
    freed: bool = False

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.header.run_id

    @property
    def progress(self) -> Progress:
        """How far the driver is, stored or not."""
        return self.run.header.progress

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended, None while it goes on."""
        return self.run.header.outcome

    def with_progress(self, progress: Progress) -> HeldRun:
        """The same run, so far along."""
        return replace(self, run=replace(self.run, header=replace(self.run.header, progress=progress)))
