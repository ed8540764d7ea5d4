"""GCRA, the generic cell rate algorithm: a rate kept by one number, the theoretical arrival time (``tat_ms``)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """``capacity`` may happen at once; after that, one each ``period_ms / limit``, rounded up to whole milliseconds.

    ``tat_ms`` is None when nothing has happened yet, or not for long.
    """

    limit: int
    period_ms: int
    capacity: int

    @property
    def interval_ms(self) -> int:
        """The time between two that are evenly spread."""
        return -(-self.period_ms // self.limit)

    def allowed(self, tat_ms: int | None, now_ms: int) -> int:
        """How many may happen now, one after the other."""
        ahead_ms = max(0, (tat_ms or 0) - now_ms)
        return max(0, self.capacity - -(-ahead_ms // self.interval_ms))

    def after_one(self, tat_ms: int | None, now_ms: int) -> int:
        """``tat_ms`` after one more has happened now."""
        return max(tat_ms or 0, now_ms) + self.interval_ms

    def next_ms(self, tat_ms: int | None, now_ms: int) -> int:
        """When the next may happen: now, or later."""
        return max(now_ms, (tat_ms or 0) - (self.capacity - 1) * self.interval_ms)
