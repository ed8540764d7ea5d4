"""Who may go through a gate, and in which order: the one rule of all gates.

A gate lets as many through as it has room; those who stand first go first, and nobody who stands before one that may
go is passed by. Whoever asks without standing in line may go only when nobody stands there.
"""

from __future__ import annotations

from collections.abc import Callable

from stepwell_orchestrator.model.flow import GateState, Limit, Place, Waiter


def room(limit: Limit | None, state: GateState, now_ms: int) -> int | None:
    """How many more the limit lets through now. None: it is no limit any more."""
    if limit is None:
        return None
    if limit.rate is not None:
        return limit.rate.allowed(state.tat_ms, now_ms)
    return max(0, limit.most - len(state.holders))


def may_go(limit: Limit, state: GateState, place: Place, now_ms: int) -> bool:
    """Whether the one of that place may go, whether it stands in line or not; the state has the first of the line."""
    left = room(limit, state, now_ms)
    ahead = sum(waiter.place < place for waiter in state.line)
    return left is not None and ahead < left


def admissible(state: GateState, limit_of: Callable[[Waiter], Limit | None], now_ms: int) -> list[Waiter]:
    """Those of the line who may go now, each by the limit that it waits for as that is now.

    Functions that share a gate may have different numbers, so one behind may go where one before may not.
    """
    found: list[Waiter] = []
    for rank, waiter in enumerate(state.line):
        left = room(limit_of(waiter), state, now_ms)
        if left is None or rank < left:
            found.append(waiter)
    return found
