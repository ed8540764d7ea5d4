"""A signal's one waiter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SignalWait:
    """A step waits for the signal ``name`` until ``expires_at_ms``; a name has at most one waiter."""

    name: str
    run_id: str
    step_id: str
    expires_at_ms: int
