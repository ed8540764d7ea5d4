"""GCRA, the generic cell rate algorithm: a rate kept by one number, the theoretical arrival time (``tat``).

``capacity`` may happen at once; after that, one each ``period / limit``. Times between two are rounded up to whole
milliseconds, so that a rate is never exceeded.
"""

from __future__ import annotations

from stepwell_orchestrator.model.flow import Rate


def interval_ms(rate: Rate) -> int:
    """The time between two that are evenly spread."""
    return -(-rate.period_ms // rate.limit)


def allowed(rate: Rate, tat_ms: int | None, now_ms: int) -> int:
    """How many may happen now, one after the other."""
    ahead_ms = max(0, (tat_ms or 0) - now_ms)
    return max(0, rate.capacity - -(-ahead_ms // interval_ms(rate)))


def after_one(rate: Rate, tat_ms: int | None, now_ms: int) -> int:
    """``tat`` after one more has happened now."""
    return max(tat_ms or 0, now_ms) + interval_ms(rate)


def next_ms(rate: Rate, tat_ms: int | None, now_ms: int) -> int:
    """When the next may happen: now, or later."""
    return max(now_ms, (tat_ms or 0) - (rate.capacity - 1) * interval_ms(rate))
