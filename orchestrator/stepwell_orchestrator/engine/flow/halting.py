"""The gates of functions that stand still: what they are called, and who waits there for what.

A halt is a limit of nought: a gate with no slots and a line. It is over when its closing is.
"""

from __future__ import annotations

from typing import Final

from stepwell_orchestrator.engine.flow.gates import named_gate
from stepwell_orchestrator.model.flow import Counted, Halted, Halts, Limit

_LIMIT: Final = "halt "


def halt_gate(halted: Halted, function_id: str) -> str:
    """The gate of a function's starts or calls, at which nobody waits unless it stands still."""
    return named_gate("halt", halted, function_id)


def halt_gates(function_id: str) -> list[str]:
    """Both."""
    return [halt_gate(halted, function_id) for halted in Halted]


def halt_limit_id(closing: str) -> str:
    """What a waiter at such a gate waits for: the end of that closing."""
    return _LIMIT + closing


def is_halt(limit_id: str) -> bool:
    """Whether a waiter waits for a halt to be over, and for no limit of its function's."""
    return limit_id.startswith(_LIMIT)


def halt_limit(limit_id: str, halts: Halts) -> Limit | None:
    """The limit of nought that it waits for. None: it is over."""
    return Limit(limit_id, Counted.CALLS) if halts.in_force(limit_id.removeprefix(_LIMIT)) else None
