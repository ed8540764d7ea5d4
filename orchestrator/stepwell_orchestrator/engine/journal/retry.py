"""When a failed attempt is tried again (protocol 6.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from stepwell.wire.times import HOUR_MS, MINUTE_MS, SECOND_MS
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step_kind import kind_of

BACKOFF_MS: Final = (
    15 * SECOND_MS,
    30 * SECOND_MS,
    MINUTE_MS,
    2 * MINUTE_MS,
    5 * MINUTE_MS,
    10 * MINUTE_MS,
    20 * MINUTE_MS,
    40 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
)
JITTER_MAX_MS: Final = 30 * SECOND_MS


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``fixed_delay_ms`` replaces the back-off table, for development."""

    fixed_delay_ms: int | None = None

    def retry_at_ms(self, now_ms: int, attempt: int, asked_at_ms: int | None, *identity: str) -> int:
        """When attempt ``attempt + 1`` starts, after ``attempt`` (from 0) failed.

        ``asked_at_ms`` is what the function asked for with Retry-After. The jitter is derived from ``identity`` and
        the attempt, so that deciding twice decides the same.
        """
        if asked_at_ms is not None:
            return asked_at_ms
        if self.fixed_delay_ms is not None:
            return now_ms + self.fixed_delay_ms
        base_ms = BACKOFF_MS[min(attempt, len(BACKOFF_MS) - 1)]
        return now_ms + base_ms + _jitter_ms(*identity, str(attempt))


def executed(run: Run) -> int:
    """How many steps were executed in place: by discoveries, reported with their replies or by checkpoints.

    A wait that ended has a place as well, and nothing was executed for it.
    """
    in_place = (entry for entry in run.entries.values() if entry.memoised and entry.place is not None)
    return sum(1 for entry in in_place if not kind_of(entry.op).idle)


def discovery_attempt(run: Run) -> int:
    """The attempt of the next discovery, from 0.

    A step that a checkpoint saved after the last failure starts the count anew, also for the next driver.
    """
    progress = run.header.progress
    return progress.attempt if executed(run) <= progress.executed else 0


def _jitter_ms(*identity: str) -> int:
    digest = hashlib.sha256("\x00".join(identity).encode()).digest()
    return int.from_bytes(digest[:8]) % (JITTER_MAX_MS + 1)
