"""What the check of one journal found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """How the code differs from a journal."""

    FUNCTION_GONE = "function_gone"
    STEP_MISSING = "step_missing"
    STEP_ORDER = "step_order"
    STEP_KIND = "step_kind"
    STEP_OPTIONS = "step_options"
    ENDS_EARLY = "ends_early"
    RAISES = "raises"
    STUCK = "stuck"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class Step:
    """A step as people are shown it; ``kind`` is a run, a sleep, a wait, a signal or an invoke."""

    id: str
    label: str
    kind: str

    def __str__(self) -> str:
        return f'"{self.label}" ({self.kind})'


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference: what it is, what it does to a run under way, and what to do about it.

    ``after`` is the last step that both agree on, None at the beginning. ``recorded`` is the step that the journal has
    next, and ``found`` what the code asks for there. ``error`` is what it raises: name, message and where.
    """

    kind: Kind
    message: str
    effect: str
    fix: str
    after: Step | None = None
    recorded: Step | None = None
    found: tuple[Step, ...] = ()
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One journal. ``goes_on`` says what the code does after the end of a journal whose run had not ended."""

    file: Path
    run_id: str
    function_id: str
    steps: int
    difference: Difference | None = None
    goes_on: tuple[Step, ...] = ()
