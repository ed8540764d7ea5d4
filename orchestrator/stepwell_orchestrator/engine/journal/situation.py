"""What the engine knows when a reply arrives."""

from __future__ import annotations

from dataclasses import dataclass, field

from stepwell_orchestrator.engine.journal.call_reference import reply_position
from stepwell_orchestrator.engine.journal.changes_during_call import NO_CHANGES, ChangesDuringCall
from stepwell_orchestrator.engine.journal.retry import RetryPolicy, discovery_attempt
from stepwell_orchestrator.engine.journal.stack import next_place
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.model.run import Progress, Run
from stepwell_orchestrator.model.step import Place


@dataclass(frozen=True, slots=True)
class Situation:
    """A run as it is when its call is answered, and the call: ``target`` is None for a discovery.

    ``called_at_ms`` is when the call was made, ``now_ms`` when its reply came. ``max_attempts`` counts the first try.
    ``call`` numbers the discoveries of a term, from 1. ``changes``: what was memoised between.
    """

    run: Run
    target: str | None
    max_attempts: int
    called_at_ms: int
    now_ms: int
    call: int = 0
    changes: ChangesDuringCall = NO_CHANGES
    limits: Limits = field(default_factory=Limits)
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.header.run_id

    @property
    def progress(self) -> Progress:
        """The driver's progress before this reply."""
        return self.run.header.progress

    @property
    def attempt(self) -> int:
        """The attempt that was called: the target's own, or the discovery's."""
        return discovery_attempt(self.run) if self.target is None else self.run.entries[self.target].failed_attempts

    def last_attempt(self, *, no_retry: bool) -> bool:
        """Whether a failure of this attempt is final."""
        return no_retry or self.attempt + 1 >= self.max_attempts

    def place(self, offset: int) -> Place | None:
        """The stack place of the next finished step of this reply: only the lease holder gives places."""
        if self.target is not None:
            return None
        first = next_place(self.run, self.run.header.term)
        position = max(first.position, reply_position(self.call)) if self.call else first.position
        return Place(first.term, position + offset)

    def retry_at_ms(self, asked_at_ms: int | None) -> int:
        """When the attempt after this one starts."""
        return self.retries.retry_at_ms(self.now_ms, self.attempt, asked_at_ms, self.run_id, self.target or "")
