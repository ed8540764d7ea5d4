"""Which step's body the current code belongs to: steps inside of it are refused."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from stepwell.errors import DefinitionError

EXECUTING: Final[ContextVar[str | None]] = ContextVar("stepwell_executing_step", default=None)
"""The id of the step whose body the current code belongs to."""


def refuse_nested(step_id: str) -> None:
    """Raise DefinitionError when the calling code is itself the body of a step (protocol 5.7)."""
    outer = EXECUTING.get()
    if outer is not None:
        raise DefinitionError(
            f'step "{step_id}" is used inside the body of step "{outer}", which runs as a whole: '
            "call the steps one after another in the function, and pass results as arguments"
        )
