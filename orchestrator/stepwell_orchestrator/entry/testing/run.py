"""A run as a test sees it: plain properties over what the journal held when the engine last came to rest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stepwell.values.event import Event
from stepwell.wire.errors import decode_error
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.engine.calls.warnings import warnings_of
from stepwell_orchestrator.entry.testing.expectation import ExpectationError
from stepwell_orchestrator.model.run import Run as Journaled
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.terminal.display import UNICODE, one_line, value_text
from stepwell_orchestrator.views.run_view import run_body, trace_rows

TIMELINE_CELLS = 100
_STEPS_IN_REPR = 4
_DETAIL_CHARS = 60


class Situation(Protocol):
    """What a run has to know of the engine it belongs to."""

    @property
    def now_ms(self) -> int:
        """The test's time."""
        ...

    @property
    def unsettled(self) -> bool:
        """Whether something was sent that the engine has not acted upon yet."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """What a run or a step failed with: the exception's class name, its message, and its traceback if recorded."""

    name: str
    message: str
    stack: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


class Step:
    """One step of a run, as it stood when this was asked for."""

    def __init__(self, entry: StepEntry, traced: Mapping[str, Any], run: Run) -> None:
        self._entry = entry
        self._traced = traced
        self._run = run

    def __repr__(self) -> str:
        return f"<Step {self.name} {self.stands}>"

    @property
    def hashed(self) -> str:
        """Its id on the wire."""
        return self._entry.step_id

    @property
    def name(self) -> str:
        """What people see: its id, or the name its StepOptions give it."""
        return self._entry.name

    @property
    def status(self) -> str:
        """``planned``, ``running``, ``errored``, ``sleeping``, ``waiting``, ``completed``, ``failed``, ..."""
        return self._entry.status

    @property
    def attempts(self) -> int:
        """How often it was tried."""
        return int(self._traced["attempts"])

    @property
    def output(self) -> Any:
        """Its result as the journal has it, which is JSON. Raises ExpectationError while there is none."""
        if self._entry.status not in (StepStatus.COMPLETED, StepStatus.TIMED_OUT):
            raise self._run.unmet(f'step "{self.name}" has no output: it is {self.stands}')
        return self._traced["output"]

    @property
    def error(self) -> Failure | None:
        """What it failed with; of a step that is tried again, what its last attempt failed with; else None."""
        error = self._traced["error"]
        return None if error is None else _failure(error)

    @property
    def due_at(self) -> dt.datetime | None:
        """When it goes on by itself: the end of a sleep, a wait's timeout, the next attempt."""
        due_at_ms = None if self._entry.memoised else self._entry.due_at_ms
        return None if due_at_ms is None else dt.datetime.fromtimestamp(due_at_ms / 1_000, dt.UTC)

    @property
    def over(self) -> bool:
        """Whether its result, or its final failure, is in the journal."""
        return self._entry.memoised

    @property
    def stands(self) -> str:
        """How it stands, in a few words."""
        due_at = self.due_at
        words = [self.status, *([] if due_at is None else [f"until {due_at:%Y-%m-%d %H:%M:%S}"])]
        if self.error is not None:
            words.append(f"({_clipped(str(self.error))})")
        elif self._traced["output"] is not None:
            words.append(f"({_clipped(value_text(self._traced['output']))})")
        return " ".join(words)


class Run:
    """One run. It follows the engine: after every ``settle`` or ``advance`` it shows how the run stands then."""

    def __init__(self, journaled: Journaled, situation: Situation) -> None:
        self._run = journaled
        self._situation = situation

    def __repr__(self) -> str:
        return f"<Run {self.function} {self.status}{self._brief()}>"

    def update(self, journaled: Journaled) -> None:
        """Show a newer state of the same run."""
        self._run = journaled

    @property
    def id(self) -> str:
        """The run id, the same as ``ctx.run_id``."""
        return self._run.header.run_id

    @property
    def function(self) -> str:
        """The function's slug, such as ``shop-fulfil-order``."""
        return self._run.header.function_id

    @property
    def app(self) -> str:
        """The app's id."""
        return self._run.header.app_id

    @property
    def event(self) -> Event:
        """The event that started it."""
        return Event.from_wire(self._run.events[0].wire())

    @property
    def status(self) -> str:
        """``queued``, ``running``, ``completed``, ``failed`` or ``cancelled``."""
        return self._run.header.status

    @property
    def completed(self) -> bool:
        """Whether the function returned."""
        return self._run.header.status is RunStatus.COMPLETED

    @property
    def failed(self) -> bool:
        """Whether it failed for good."""
        return self._run.header.status is RunStatus.FAILED

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._run.header.status is RunStatus.CANCELLED

    @property
    def output(self) -> Any:
        """What the function returned, as JSON. Raises ExpectationError, with the timeline, unless it completed."""
        outcome = self._run.header.outcome
        if outcome is None or not self.completed:
            state = self._brief() if self.error is None else f": {one_line(str(self.error))}"
            raise self.unmet(f"the run of {self.function} has no output: it is {self.status}{state}")
        return outcome.output

    @property
    def error(self) -> Failure | None:
        """What it failed with; None unless it failed."""
        outcome = self._run.header.outcome
        return None if outcome is None or outcome.error is None else _failure(outcome.error)

    @property
    def warnings(self) -> list[str]:
        """What its calls told its author, once each: a step that was never awaited, a replay that differs, ..."""
        return list(warnings_of(self._run))

    @property
    def steps(self) -> list[Step]:
        """Its steps, in the order they were first reported."""
        return [Step(self._run.entries[row["id"]], row, self) for row in trace_rows(self._run)]

    def step(self, step_id: str, n: int = 0) -> Step:
        """The step with that id; ``n`` counts the repetitions of an id from 0. Raises ExpectationError for none."""
        label = f"{step_id}:{n}" if n else step_id
        found = next((step for step in self.steps if step.hashed == hash_step_id(label)), None)
        if found is None:
            known = ", ".join(f'"{step.name}"' for step in self.steps) or "none"
            raise self.unmet(f'the run of {self.function} has no step "{label}"; its steps so far: {known}')
        return found

    def timeline(self) -> str:
        """The run drawn as ``stepwell run`` draws it: a bar a step on one time axis."""
        from stepwell_orchestrator.terminal.drawing import draw_timeline
        from stepwell_orchestrator.terminal.timeline import read_timeline

        header = self._run.header
        drawn = read_timeline(run_body(header), trace_rows(self._run), now_ms=self._situation.now_ms)
        lines = draw_timeline(drawn, width=TIMELINE_CELLS, glyphs=UNICODE)
        return "\n".join(line.plain.rstrip() for line in lines).rstrip()

    def unmet(self, problem: str) -> ExpectationError:
        """The error for something this run is not."""
        hint = "; something was sent since the engine last settled: call settle() first"
        return ExpectationError(f"{problem}{hint if self._situation.unsettled else ''}\n\n{self.timeline()}")

    def _brief(self) -> str:
        """Its error, or its open steps, in a few words."""
        if self.error is not None:
            return f": {_clipped(str(self.error))}"
        steps = self.steps
        still = [step for step in steps if not step.over]
        if self._run.header.outcome is not None or not still:
            return f", {len(steps)} step{'' if len(steps) == 1 else 's'}"
        more = [f"{len(still) - _STEPS_IN_REPR} more"] if len(still) > _STEPS_IN_REPR else []
        return ": " + ", ".join([*(f"{step.name} {step.stands}" for step in still[:_STEPS_IN_REPR]), *more])


def _failure(error: Any) -> Failure:
    body = decode_error(error)
    return Failure(body.name, body.message, body.stack)


def _clipped(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= _DETAIL_CHARS else f"{text[: _DETAIL_CHARS - 1]}…"
