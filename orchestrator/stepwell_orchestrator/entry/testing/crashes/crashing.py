"""Living through a scenario again and again, each time with another fault, and judging what it came to."""

from __future__ import annotations

import asyncio
import traceback
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell_orchestrator.entry.testing.crashes.crash_report import CrashError, CrashReport, Finding, steps_of
from stepwell_orchestrator.entry.testing.crashes.faults import TWICE_AT_ONCE, TWICE_IN_TURN, Faults
from stepwell_orchestrator.entry.testing.crashes.scenario_result import (
    Difference,
    ScenarioResult,
    differences,
    result_of,
)
from stepwell_orchestrator.entry.testing.crashes.witness import Body
from stepwell_orchestrator.entry.testing.expectation import ExpectationError
from stepwell_orchestrator.entry.testing.record import Record
from stepwell_orchestrator.entry.testing.run import Run

FAULTS_MAX: Final = 1_000
"""How many faults are tried unless the caller says otherwise."""
_FINDINGS_MAX: Final = 10
"""After so many failed runs of the scenario no more are made."""
_SIMILAR_MAX: Final = 5


def refuse_used(*, used: bool) -> None:
    """Raise ExpectationError for an engine that something was done to, all of which a new one would not know."""
    if used:
        raise ExpectationError(
            "crash_everywhere gives its scenario a new engine for every run, and this one has been used already: "
            "send events, stub steps and let time pass in the scenario; only the apps that are served are taken over"
        )


@dataclass(slots=True)
class Trial:
    """One run of the scenario under one fault, or none."""

    faults: Faults
    returned: Any = None
    error: BaseException | None = None
    result: ScenarioResult = field(init=False)

    @property
    def record(self) -> Record:
        """What is seen of its engine."""
        return self.faults.record

    @contextmanager
    def living(self) -> Generator[None]:
        """Around the scenario. What it raises is judged later, but for what is its own failure, and no fault's.

        That is what it raises without a fault, as long as the engine did nothing that it must never do.
        """
        try:
            yield
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            if self.faults.fault is None and not self.faults.witness.again and not self.faults.raised:
                raise
            self.error = error
        self.result = result_of(self.record, self.returned)


class Crashes:
    """The faults to try, one after another, and the report on what they came to.

    Whoever iterates over it lives through the scenario once for each fault, and tells by ``judge``. First come two runs
    without a fault: what the first comes to is how it should be, and the second shows whether that depends on chance.
    """

    def __init__(self, only: str | None, limit: int) -> None:
        self._only = only
        self._limit = limit
        self._calm: Trial | None = None
        self._report = CrashReport()

    def __iter__(self) -> Iterator[Trial]:
        yield Trial(Faults())
        if self._steady:
            yield Trial(Faults())
        assert self._calm is not None, "every run is judged"
        chosen = self._chosen(self._calm.faults.boundaries)
        for fault in chosen:
            if len(self._report.findings) >= _FINDINGS_MAX or not self._steady:
                self._report.left_out += len(chosen) - len(self._report.boundaries)
                return
            self._report.boundaries.append(fault)
            yield Trial(Faults(fault))

    def judge(self, trial: Trial) -> None:
        """Take note of what a run of the scenario came to."""
        if self._calm is None:
            self._calm = trial
        found = list(_findings(trial, self._calm))
        self._report.findings += found[:1]
        fault = trial.faults.fault
        if fault is not None and not trial.faults.struck:
            self._report.missed.append(fault)
        for function, steps in _repeated(trial).items():
            known = self._report.repeated.setdefault(function, [])
            known += [step for step in steps if step not in known]

    def verdict(self) -> CrashReport:
        """The report. Raises CrashError when anything was found."""
        __tracebackhide__ = True
        if self._report.findings:
            raise CrashError(self._report)
        return self._report

    @property
    def _steady(self) -> bool:
        """Whether nothing was found without a fault."""
        return all(finding.boundary for finding in self._report.findings)

    def _chosen(self, boundaries: Sequence[str]) -> list[str]:
        if not boundaries:
            raise ExpectationError(
                "crash_everywhere: the scenario lets its engine do nothing; it must serve an app, send events and let "
                "time pass on the engine that it is given"
            )
        known = [*boundaries, TWICE_AT_ONCE, TWICE_IN_TURN]
        if self._only is not None:
            if self._only not in known:
                similar = [f'"{name}"' for name in known if self._only.split()[-1] in name][:_SIMILAR_MAX]
                hint = f"; similar ones: {', '.join(similar)}" if similar else ""
                raise ExpectationError(f'crash_everywhere: the scenario has no boundary "{self._only}"{hint}')
            return [self._only]
        if len(known) <= self._limit:
            return known
        self._report.left_out = len(known) - self._limit
        return [known[index * len(known) // self._limit] for index in range(self._limit)]


def _findings(trial: Trial, calm: Trial) -> Iterator[Finding]:
    """What went wrong in one run of the scenario, the worst first."""
    boundary = trial.faults.fault or ""
    runs = trial.record.runs
    for body in trial.faults.witness.again:
        run = next((run for run in runs if run.id == body.run_id), None)
        problem = f"the body of step {_step(body, trial.record)} ran again after its result was in the journal"
        yield Finding(boundary, problem, timeline=_timeline(run))
    for raised in trial.faults.raised:
        yield Finding(boundary, f"the engine raised {_named(raised)}", _where(raised))
    if not boundary:
        for difference in differences(calm.result, trial.result):
            hint = "stub the steps that return times, random values or ids from outside, and return plain values"
            problem = f"the scenario does not come to the same twice: {difference.what}"
            yield Finding("", problem, (f"once:  {difference.expected}", f"again: {difference.found}", hint))
        return
    if trial.error is None:
        for difference in differences(calm.result, trial.result):
            yield _differing(boundary, difference, runs)
    else:
        repeated = _repeated(trial)
        twice = [f"step bodies that ran twice, as their worker died: {steps_of(repeated)}"] if repeated else []
        open_run = next((run for run in runs if not (run.completed or run.failed or run.cancelled)), None)
        problem = f"the scenario raised {_named(trial.error)}"
        yield Finding(boundary, problem, (*_where(trial.error), *twice), _timeline(open_run))


def _differing(boundary: str, difference: Difference, runs: Sequence[Run]) -> Finding:
    details = (f"without a crash: {difference.expected}", f"with it:         {difference.found}")
    timeline = "" if difference.run is None else runs[difference.run].timeline()
    return Finding(boundary, difference.what, details, timeline)


def _step(body: Body, record: Record) -> str:
    return f'"{body.label}" of {_function(body, record)}'


def _function(body: Body, record: Record) -> str:
    return next((run.function for run in record.runs if run.id == body.run_id), "a lost run")


def _repeated(trial: Trial) -> dict[str, list[str]]:
    """The steps, by function, whose bodies ran again because their worker died."""
    steps: defaultdict[str, list[str]] = defaultdict(list)
    for body in trial.faults.witness.repeated:
        steps[_function(body, trial.record)].append(body.label)
    return dict(steps)


def _timeline(run: Run | None) -> str:
    return "" if run is None else run.timeline()


def _named(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _where(error: BaseException) -> tuple[str, ...]:
    """The place in the scenario, or deeper, that the error comes from, and the rest of its message."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"at {frame.filename}:{frame.lineno}: {frame.line}" for frame in frames if frame.line][-1:]
    return (*places, *(line for line in str(error).strip().splitlines()[1:] if line.strip()))
