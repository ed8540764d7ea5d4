"""What ``crash_everywhere`` found, and how a person reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stepwell_orchestrator.entry.testing.expectation import ExpectationError

_STEPS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that went wrong.

    ``boundary`` is where the worker died, in words, or what else was done to the engine; empty: nothing was.
    ``problem`` is a line, ``details`` more of them, ``timeline`` the run it is about, if it is about one.
    """

    boundary: str
    problem: str
    details: tuple[str, ...] = ()
    timeline: str = ""

    def __str__(self) -> str:
        return f"{self.boundary or 'without a crash'}: {self.problem}"


@dataclass(slots=True)
class CrashReport:
    """What was tried and what came of it; ``str()`` of it is for people.

    ``boundaries`` are the faults that were tried, a run of the scenario each; ``left_out`` is how many were not.
    ``repeated`` has, by function, the steps whose bodies ran again because their worker died before the result was in
    the journal. ``missed`` are boundaries that were not reached a second time. ``findings``: nothing, or
    CrashError was raised.
    """

    boundaries: list[str] = field(default_factory=list)
    left_out: int = 0
    repeated: dict[str, list[str]] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [*self._first(), *self._others(), self._summary(), *self._notes()]
        return "\n\n".join(part for part in parts if part)

    def _summary(self) -> str:
        head = "" if self.findings else "crash everywhere: "
        tried = f"{head}{_count(len(self.boundaries), 'fault')} tried, a run of the scenario each"
        fix = "" if self.findings else ", give a larger limit= to try them"
        left_out = f"; {self.left_out} more were left out{fix}" if self.left_out else ""
        return f"{tried}{left_out}; {_count(len(self.findings), 'finding') if self.findings else 'nothing found'}"

    def _first(self) -> list[str]:
        if not self.findings:
            return []
        first = self.findings[0]
        lines = [f"crash everywhere: {first}", *(f"  {line}" for line in first.details)]
        if first.boundary:
            lines.append(f"  to see it alone: crash_everywhere(scenario, only={first.boundary!r})")
            lines.append(f"              or: @pytest.mark.crash_everywhere(only={first.boundary!r})")
        return ["\n".join(lines), first.timeline]

    def _others(self) -> list[str]:
        return (
            ["\n".join(["further:", *(f"  {finding}" for finding in self.findings[1:])])] if self.findings[1:] else []
        )

    def _notes(self) -> list[str]:
        notes = []
        if self.repeated:
            number = sum(map(len, self.repeated.values()))
            notes.append(
                f"{_count(number, 'step body', 'step bodies')} ran twice, each in another run of the scenario, because "
                f"the worker died before the result was in the journal: {steps_of(self.repeated)}. "
                "That is as it must be: let what they do outside bear it"
            )
        if self.missed:
            notes.append(
                f"{_count(len(self.missed), 'boundary', 'boundaries')} did not come up a second time, so nothing was "
                f"tried there: the scenario takes another way each time, or uses threads: {_listed(self.missed)}"
            )
        return notes


class CrashError(ExpectationError):
    """A scenario does not bear a crash. The message is the whole ``report``."""

    def __init__(self, report: CrashReport) -> None:
        super().__init__(str(report))
        self.report = report


def steps_of(functions: Mapping[str, Sequence[str]]) -> str:
    """Steps by function, in a line."""
    return "; ".join(f"{', '.join(steps)} ({function})" for function, steps in functions.items())


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - _STEPS_SHOWN} more"] if len(names) > _STEPS_SHOWN else []
    return ", ".join([*names[:_STEPS_SHOWN], *more])


def _count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"
