"""Errors of the orchestrator's ports and edges."""

from __future__ import annotations

from stepwell.errors import StepwellError


class ConflictError(StepwellError):
    """A commit was refused because one of its guards did not hold. Nothing of it was written."""


class LeaseLostError(StepwellError):
    """The drive lease is another worker's by now. Nothing was written."""


def lease_lost(run_id: str, term: int) -> LeaseLostError:
    """The error for a driver whose term is over."""
    return LeaseLostError(
        f"run {run_id}: drive term {term} is over, another worker has or had the run; stop driving it"
    )


def entry_moved(run_id: str, step_id: str, name: str) -> ConflictError:
    """The error for who would write over an entry that another worker has written meanwhile."""
    return ConflictError(f"run {run_id}, step {step_id} ({name}): the entry is not as it was found; look again")


class StoreError(StepwellError):
    """A store could not be opened, read or written. Unless it says otherwise, nobody knows what has taken effect.

    The work is left to a redelivery: everything may be done again.
    """


class ApiError(StepwellError):
    """A request that is answered with an error: its HTTP status, the public text, and an optional code."""

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
