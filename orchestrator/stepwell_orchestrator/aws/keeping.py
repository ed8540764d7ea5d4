"""How long items are kept: what DynamoDB's TTL attribute says of each (decision 10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stepwell.wire.times import DAY_MS, SECOND_MS
from stepwell_orchestrator.aws.dynamo import Value, number
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.step import StepEntry

RETENTION_MS_DEFAULT: Final = 30 * DAY_MS
_UNTOUCHED_MS: Final = 60 * DAY_MS
_KEY_MARGIN_MS: Final = DAY_MS


@dataclass(frozen=True, slots=True)
class Keeping:
    """The rules of one deployment. A run is kept for ``retention_ms`` after its end."""

    retention_ms: int = RETENTION_MS_DEFAULT

    @property
    def life_ms(self) -> int:
        """How long what belongs to a run is kept after it was written, unless it is renewed."""
        return self.retention_ms + _UNTOUCHED_MS

    def after_end(self, ended_at_ms: int) -> Value:
        """A run that has ended."""
        return _seconds(ended_at_ms + self.retention_ms)

    def event(self, event: Event) -> Value:
        """An event. One that is still to come is kept from then on."""
        return _seconds(max(event.received_at_ms, event.ts_ms) + self.life_ms)

    def record(self, received_at_ms: int) -> Value:
        """What leads to an event."""
        return _seconds(received_at_ms + self.life_ms)

    def entry(self, entry: StepEntry) -> Value:
        """A step's entry. One that waits is kept from the end of its wait on."""
        times = (entry.queued_at_ms, entry.started_at_ms, entry.ended_at_ms, entry.due_at_ms)
        return _seconds(max(time for time in times if time is not None) + self.life_ms)

    def key(self, expires_at_ms: int) -> Value:
        """An idempotency key."""
        return _seconds(expires_at_ms + _KEY_MARGIN_MS)


def _seconds(at_ms: int) -> Value:
    return number(-(-at_ms // SECOND_MS))
