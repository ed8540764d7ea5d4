"""How long items are kept: what DynamoDB's TTL attribute says of each (decision 10)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.aws.attribute_values import Value, number
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.step import StepEntry

RETENTION_MS_DEFAULT: Final = 30 * DAY_MS
_UNTOUCHED_MS: Final = 38 * DAY_MS
_RENEWED_MS: Final = 7 * DAY_MS
"""How long before it would be too late a run's items are renewed, and so how long the sweep may fail."""
_KEY_MARGIN_MS: Final = DAY_MS


@dataclass(frozen=True, slots=True)
class Retention:
    """The rules of one deployment. A run is kept for ``retention_ms`` after its end."""

    retention_ms: int = RETENTION_MS_DEFAULT

    @property
    def life_ms(self) -> int:
        """How long what belongs to a run is kept after it was written, unless it is renewed."""
        return self.retention_ms + _UNTOUCHED_MS

    def after_end(self, ended_at_ms: int) -> Value:
        """A run that has ended."""
        return self.until(ended_at_ms + self.retention_ms)

    def event(self, event: Event) -> Value:
        """An event. One that is still to come is kept from then on."""
        return self.until(max(event.received_at_ms, event.ts_ms) + self.life_ms)

    def record(self, received_at_ms: int) -> Value:
        """What leads to an event."""
        return self.until(received_at_ms + self.life_ms)

    def entry(self, entry: StepEntry) -> Value:
        """A step's entry. One that waits is kept from the end of its wait on."""
        times = (entry.queued_at_ms, entry.started_at_ms, entry.ended_at_ms, entry.due_at_ms)
        return self.until(max(time for time in times if time is not None) + self.life_ms)

    def key(self, expires_at_ms: int) -> Value:
        """An idempotency key."""
        return self.until(expires_at_ms + _KEY_MARGIN_MS)

    def is_old(self, created_at_ms: int, now_ms: int) -> bool:
        """Tell whether a run is old enough for its items to need renewal, if they have not had it."""
        return self.is_short(created_at_ms + self.life_ms, now_ms)

    def is_short(self, kept_until_ms: int, now_ms: int) -> bool:
        """Tell whether what is kept until then may be forgotten too soon after its run's end."""
        return kept_until_ms - now_ms < self.retention_ms + _RENEWED_MS

    def renewed_until_ms(self, now_ms: int, due_at_ms: Iterable[int | None]) -> int:
        """Return until when the items are kept of a run that waits for those times."""
        return max(now_ms, *(time for time in due_at_ms if time is not None), 0) + self.life_ms

    @staticmethod
    def until(at_ms: int) -> Value:
        """Spell a time from which on an item may be removed."""
        return number(-(-at_ms // SECOND_MS))
