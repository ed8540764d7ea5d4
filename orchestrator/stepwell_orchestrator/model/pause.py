"""A pause: a run waits for an event of a name that an expression accepts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class PauseKind(StrEnum):
    """What a matching event does to the run that paused."""

    RESUME = "resume"
    CANCEL = "cancel"


class PauseKey(NamedTuple):
    """Where a pause is filed: under the event's name and, within it, under a digest of the values it asks for."""

    event_name: str
    filed_under: str
    run_id: str
    pause_id: str


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause. ``pause_id`` of its key is the hashed step id, or names one of the run's cancellations.

    ``shape`` lists the paths whose values the index is made of; empty for an expression without equalities.
    Only events received from ``since_ms`` on, before ``expires_at_ms``, and not in ``excluded`` (internal ids) count.
    ``trigger_event_id`` is what ``event`` means in the expression.
    """

    key: PauseKey
    kind: PauseKind
    shape: str
    expression: str | None
    trigger_event_id: str
    since_ms: int
    expires_at_ms: int
    excluded: tuple[str, ...] = ()
