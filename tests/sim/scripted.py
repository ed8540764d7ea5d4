"""Functions written as scripts and answered by a tiny SDK: shapes of replies that our own adapter would not give.

A script is a list of stages. A stage of one step runs it in place where that is allowed and plans it otherwise; a stage
of several plans them, and goes on when all of them (``join``) or one of them (``race``, ``forget``) has finished.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest
from stepwell.wire.encoding import encode
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.ports import HttpReply

Entered = Callable[[str, str], None]
"""Called with the hashed id and the name of a step whose body is entered."""

UNKNOWN: Final = object()
"""A value that depends on who wins a race."""


class FailsError(Exception):
    """A function is expected to fail."""


@dataclass(frozen=True, slots=True)
class ScriptedStep:
    """One step: a sleep, or a body that fails in its first ``fails`` attempts; ``caught``: so is its last failure."""

    name: str
    sleep_ms: int | None = None
    fails: int = 0
    caught: bool = True

    @property
    def step_id(self) -> str:
        """Its id on the wire."""
        return hash_step_id(self.name)


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps side by side. In a ``forget`` stage the function no longer knows the losers once there is a winner."""

    mode: Literal["join", "race", "forget"]
    steps: tuple[ScriptedStep, ...]

    def open(self, request: CallRequest) -> list[ScriptedStep]:
        """The steps that have not finished."""
        return [step for step in self.steps if step.step_id not in request.steps]

    def done(self, request: CallRequest) -> bool:
        """Whether the function goes on past this stage."""
        left = len(self.open(request))
        return left == 0 if self.mode == "join" else left < len(self.steps)


@dataclass(frozen=True, slots=True)
class Script:
    """A function; its first ``function_fails`` attempts of every discovery fail before they reach a step."""

    stages: tuple[Stage, ...]
    function_fails: int = 0

    @property
    def steps(self) -> list[ScriptedStep]:
        """All steps."""
        return [step for stage in self.stages for step in stage.steps]

    @property
    def naps_ms(self) -> int:
        """The time asleep, at most."""
        return sum(step.sleep_ms or 0 for step in self.steps)

    @property
    def actions(self) -> int:
        """How many things may have to be tried again."""
        return len(self.steps) + len(self.stages) + 1

    def expected(self, max_attempts: int) -> Any:
        """What a completed run returns. Raises FailsError when it cannot complete."""
        if self.function_fails >= max_attempts:
            raise FailsError
        values: list[Any] = []
        for stage in self.stages:
            for step in stage.steps:
                if step.fails >= max_attempts and not step.caught:
                    raise FailsError
            found = [self._value(step, max_attempts) for step in stage.steps]
            values.append(found if stage.mode == "join" else UNKNOWN)
        return values

    def _value(self, step: ScriptedStep, max_attempts: int) -> Any:
        if step.sleep_ms is not None:
            return None
        return f"caught {step.name}" if step.fails >= max_attempts else step.name.upper()

    async def answer(self, request: CallRequest, target: str, entered: Entered) -> HttpReply:
        """The reply to a call."""
        if target == DISCOVERY_STEP_ID and request.ctx.attempt < self.function_fails:
            return _reply(500, {"name": "RuntimeError", "message": "not yet"})
        racing = False
        values: list[Any] = []
        for stage in self.stages:
            racing = racing or stage.mode != "join"
            uncaught = [step for step in stage.steps if not step.caught and _failed(request, step)]
            if uncaught:
                return _reply(500, {"name": "StepError", "message": f"{uncaught[0].name} failed"}, no_retry=True)
            wanted = next((step for step in stage.open(request) if step.step_id == target), None)
            if wanted is not None and not (stage.mode == "forget" and stage.done(request)):
                return _reply(206, [_run(wanted, request, entered, racing=racing)])
            if not stage.done(request):
                return _reply(206, self._report(stage, request, target, entered, racing=racing))
            values.append(_values(stage, request))
        return _reply(200, values)

    def _report(
        self, stage: Stage, request: CallRequest, target: str, entered: Entered, *, racing: bool
    ) -> list[dict[str, Any]]:
        if target != DISCOVERY_STEP_ID:
            return []
        (first, *others) = stage.steps
        if not others and first.sleep_ms is None and not request.ctx.disable_immediate_execution:
            return [_run(first, request, entered, racing=racing)]
        return [_plan(step, racing=racing) for step in stage.open(request)]


def _failed(request: CallRequest, step: ScriptedStep) -> bool:
    memo = request.steps.get(step.step_id)
    return isinstance(memo, dict) and "error" in memo


def _values(stage: Stage, request: CallRequest) -> list[Any]:
    return [_memoised(step, request) for step in stage.steps]


def _memoised(step: ScriptedStep, request: CallRequest) -> Any:
    if step.sleep_ms is not None or step.step_id not in request.steps:
        return None
    return f"caught {step.name}" if _failed(request, step) else request.steps[step.step_id]["data"]


def _opts(*, racing: bool) -> dict[str, Any]:
    return {"parallelMode": "race"} if racing else {}


def _plan(step: ScriptedStep, *, racing: bool) -> dict[str, Any]:
    opts = _opts(racing=racing)
    if step.sleep_ms is None:
        return {"op": "StepPlanned", "id": step.step_id, "name": step.name, "opts": opts}
    opts["duration"] = f"{step.sleep_ms}ms"
    return {"op": "Sleep", "id": step.step_id, "name": step.name, "opts": opts}


def _run(step: ScriptedStep, request: CallRequest, entered: Entered, *, racing: bool) -> dict[str, Any]:
    entered(step.step_id, step.name)
    common = {"id": step.step_id, "name": step.name, "opts": _opts(racing=racing)}
    if request.ctx.attempt >= step.fails:
        return {"op": "StepRun", "data": step.name.upper(), **common}
    last = request.ctx.attempt + 1 >= (request.ctx.max_attempts or 1)
    error = {"name": "ValueError", "message": f"{step.name} failed"}
    return {"op": "StepFailed" if last else "StepError", "error": error, **common}


def _reply(status: int, body: Any, *, no_retry: bool = False) -> HttpReply:
    headers = {names.SDK: "sim:v1", names.REQUEST_VERSION: "2", names.NO_RETRY: "true" if no_retry else "false"}
    return HttpReply(status, headers, encode(body))


def draw_script(chance: random.Random, max_attempts: int) -> Script:
    """A random script."""
    counter = iter(range(1_000))
    stages = tuple(_draw_stage(chance, counter, max_attempts) for _ in range(chance.randint(1, 4)))
    fails = chance.choice((0, 0, 0, 0, 1, 2))
    return Script(stages, min(fails, max_attempts) if chance.random() < 0.1 else min(fails, max_attempts - 1))


def _draw_stage(chance: random.Random, counter: Any, max_attempts: int) -> Stage:
    size = chance.choice((1, 1, 1, 2, 3, 5))
    mode: Literal["join", "race", "forget"] = "join" if size == 1 else chance.choice(("join", "join", "race", "forget"))
    steps = tuple(_draw_step(chance, next(counter), max_attempts) for _ in range(size))
    # Whether the uncaught failure of a loser ends the run is anybody's guess.
    return Stage(mode, steps if mode == "join" else tuple(replace(step, caught=True) for step in steps))


def _draw_step(chance: random.Random, number: int, max_attempts: int) -> ScriptedStep:
    if chance.random() < 0.2:
        return ScriptedStep(f"nap{number}", sleep_ms=chance.choice((1_000, 30_000, 600_000, 7_200_000)))
    fails = chance.choice((0, 0, 0, 0, 1, 2, 99))
    doomed = fails >= max_attempts
    return ScriptedStep(f"step{number}", fails=fails, caught=not doomed or chance.random() < 0.8)
