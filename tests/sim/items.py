"""Names of queue items that stay the same in a world with less in it, and whenever the items are due."""

from __future__ import annotations

from stepwell_orchestrator.model.queue_item import QueueItem

_NAMING = ("run_id", "event_id", "cancellation_id", "step_id", "attempt")
_RANDOM_LENGTH = 16


def whom(item: QueueItem) -> str:
    """What an item is about."""
    named = [lasting(str(getattr(item.work, name))) for name in _NAMING if hasattr(item.work, name)]
    return " ".join((type(item.work).__name__, *named))


def lasting(identifier: str) -> str:
    """An id without the time at its front, which the skew of the worker that made it shows in."""
    return identifier[-_RANDOM_LENGTH:]


def run_id_of(item: QueueItem) -> str:
    """The run an item is about; empty when it is about none."""
    return str(getattr(item.work, "run_id", ""))
