"""Names of runs, events and queue items that stay the same in a world with less in it, whenever things happen there."""

from __future__ import annotations

from stepwell_orchestrator.model.queue_item import QueueItem
from tests.sim.checkers import Moment
from tests.sim.facts import EventStored, Fact, RunCreated

_NAMING = (
    "run_id",
    "event_id",
    "first_event_id",
    "batch_id",
    "cancellation_id",
    "step_id",
    "attempt",
    "cron",
    "tick_ms",
)
_RANDOM_LENGTH = 16


class Names:
    """A checker that promises nothing: it learns what each run and each event came from.

    Ids begin with a time, which the skew of the worker that made it shows in; the rest may be derived from such an id.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case EventStored(event, True) if event.data.get("run_id") in self._names:
                self._names[event.internal_id] = f"{event.name} of {self.of(event.data['run_id'])}"
            case RunCreated(header):
                events = " ".join(self.of(event_id) for event_id in header.event_ids)
                again = f" again, {header.run_id[-_RANDOM_LENGTH:]}" if header.original_run_id else ""
                self._names[header.run_id] = f"{header.function_id} for {events}{again}"

    def of(self, identifier: str) -> str:
        """The name of a run or an event; what is random of the id where nothing is known of it."""
        return self._names.get(identifier, identifier[-_RANDOM_LENGTH:])

    def whom(self, item: QueueItem) -> str:
        """What an item is about."""
        named = [self.of(str(getattr(item.work, name))) for name in _NAMING if hasattr(item.work, name)]
        return " ".join((type(item.work).__name__, *named))


def run_id_of(item: QueueItem) -> str:
    """The run an item is about; empty when it is about none."""
    return str(getattr(item.work, "run_id", ""))
