"""Functions written as scripts and answered by a tiny SDK: shapes of replies that our own adapter would not give.

A script is a list of stages. A stage of one step runs it in place where that is allowed and plans it otherwise; a stage
of several plans them, and goes on when all of them (``join``) or one of them (``race``, ``forget``) has finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from stepwell.wire import headers as names
from stepwell.wire.call import DISCOVERY_STEP_ID, CallRequest
from stepwell.wire.encoding import encode
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.ports import HttpReply
from tests.sim.drawing import Drawing
from tests.sim.steps import (
    Do,
    EventWait,
    FailsError,
    Invocation,
    Memos,
    MissingError,
    Nap,
    OneOf,
    SignalWait,
    Step,
    given,
    longest_ms,
)

Entered = Callable[[str, str], None]
"""Called with the hashed id and the name of a step whose body is entered."""


@dataclass(frozen=True, slots=True)
class ScriptedStep:
    """One step; ``caught``: so is its last failure."""

    step: Do | Nap | EventWait | SignalWait | Invocation
    caught: bool = True

    @property
    def name(self) -> str:
        """Its name."""
        return self.step.name

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
    def steps(self) -> Sequence[Step]:
        """All steps."""
        return [step.step for stage in self.stages for step in stage.steps]

    @property
    def naps_ms(self) -> int:
        """The time asleep and waiting, at most."""
        return sum(longest_ms(step) for step in self.steps)

    @property
    def actions(self) -> int:
        """How many things may have to be tried again."""
        return len(self.steps) + len(self.stages) + 1

    def expected(self, memos: Memos, max_attempts: int) -> Any:
        """What a completed run returns. Raises FailsError when it cannot complete, MissingError when not yet."""
        if self.function_fails >= max_attempts:
            raise FailsError("the function")
        return [_expected(stage, memos, max_attempts) for stage in self.stages]

    async def answer(self, request: CallRequest, target: str, entered: Entered) -> HttpReply:
        """The reply to a call."""
        if target == DISCOVERY_STEP_ID and request.ctx.attempt < self.function_fails:
            return _reply(500, {"name": "RuntimeError", "message": "not yet"})
        racing = False
        values: list[Any] = []
        for stage in self.stages:
            racing = racing or stage.mode != "join"
            uncaught = [step for step in stage.steps if not step.caught and _failed(request.steps, step)]
            if uncaught:
                return _reply(500, {"name": "StepError", "message": f"{uncaught[0].name} failed"}, no_retry=True)
            wanted = next((step for step in stage.open(request) if step.step_id == target), None)
            if wanted is not None and not (stage.mode == "forget" and stage.done(request)):
                return _reply(206, [_run(_body(wanted), request, entered, racing=racing)])
            if not stage.done(request):
                return _reply(206, self._report(stage, request, target, entered, racing=racing))
            values.append([_value(step, request.steps, request.ctx.max_attempts or 1) for step in stage.steps])
        return _reply(200, values)

    def _report(
        self, stage: Stage, request: CallRequest, target: str, entered: Entered, *, racing: bool
    ) -> list[dict[str, Any]]:
        if target != DISCOVERY_STEP_ID:
            return []
        (first, *others) = stage.steps
        if not others and isinstance(first.step, Do) and not request.ctx.disable_immediate_execution:
            return [_run(first.step, request, entered, racing=racing)]
        return [_plan(scripted.step, request, racing=racing) for scripted in stage.open(request)]


def _expected(stage: Stage, memos: Memos, max_attempts: int) -> list[Any]:
    """The values of a stage that is over. In a race each is what it became, or nothing if it came too late."""
    known = [step for step in stage.steps if step.step_id in memos]
    for step in known:
        if not step.caught:
            given(step.step, memos, max_attempts)
    if len(known) < (len(stage.steps) if stage.mode == "join" else 1):
        raise MissingError(f"step {stage.steps[0].name} or another of its stage")
    values = [_value(step, memos, max_attempts) for step in stage.steps]
    return values if stage.mode == "join" else [OneOf((None, value)) for value in values]


def _value(step: ScriptedStep, memos: Memos, max_attempts: int) -> Any:
    """What a step gives a function that catches its failure; nothing as long as it has not finished."""
    if step.step_id not in memos:
        return None
    try:
        value = given(step.step, memos, max_attempts)
    except FailsError:
        return f"caught {step.name}"
    return value[0] if isinstance(step.step, Do) else value


def _failed(memos: Memos, step: ScriptedStep) -> bool:
    memo = memos.get(step.step_id)
    return isinstance(memo, dict) and "error" in memo


def _body(step: ScriptedStep) -> Do:
    assert isinstance(step.step, Do), f"{step.name} has no body and was called for"
    return step.step


def _opts(*, racing: bool) -> dict[str, Any]:
    return {"parallelMode": "race"} if racing else {}


def _plan(step: Step, request: CallRequest, *, racing: bool) -> dict[str, Any]:
    op, opts = _instruction(step, request)
    opts = {key: value for key, value in opts.items() if value is not None}
    return {"op": op, "id": hash_step_id(step.name), "name": step.name, "opts": {**opts, **_opts(racing=racing)}}


def _instruction(step: Step, request: CallRequest) -> tuple[str, dict[str, Any]]:
    match step:
        case Nap():
            return "Sleep", {"duration": f"{step.duration_ms}ms"}
        case EventWait():
            lookback = f"{step.lookback}ms" if isinstance(step.lookback, int) else step.lookback
            opts = {"event": step.event, "if": step.narrow.value or None, "lookback": lookback}
            return "WaitForEvent", {**opts, "timeout": f"{step.timeout_ms}ms"}
        case SignalWait():
            conflict = "replace" if step.replaces else "fail"
            return "WaitForSignal", {"signal": step.signal, "conflict": conflict, "timeout": f"{step.timeout_ms}ms"}
        case Invocation():
            trigger = request.event["data"]
            data = {key: trigger[key] for key in ("user", "n") if key in trigger}
            opts = {"function_id": step.function, "payload": {"data": data}}
            if not step.abandons:
                opts["on_parent_cancel"] = "cancel"
            return "InvokeFunction", {**opts, "timeout": f"{step.timeout_ms}ms"}
        case _:
            return "StepPlanned", {}


def _run(step: Do, request: CallRequest, entered: Entered, *, racing: bool) -> dict[str, Any]:
    step_id = hash_step_id(step.name)
    entered(step_id, step.name)
    common = {"id": step_id, "name": step.name, "opts": _opts(racing=racing)}
    if request.ctx.attempt >= step.fails:
        return {"op": "StepRun", "data": step.name.upper(), **common}
    last = request.ctx.attempt + 1 >= (request.ctx.max_attempts or 1)
    error = {"name": "ValueError", "message": f"{step.name} failed"}
    return {"op": "StepFailed" if last else "StepError", "error": error, **common}


def _reply(status: int, body: Any, *, no_retry: bool = False) -> HttpReply:
    headers = {names.SDK: "sim:v1", names.REQUEST_VERSION: "2", names.NO_RETRY: "true" if no_retry else "false"}
    return HttpReply(status, headers, encode(body))


def draw_script(drawing: Drawing) -> Script:
    """A random script."""
    chance, max_attempts = drawing.chance, drawing.max_attempts
    stages = tuple(_draw_stage(drawing) for _ in range(chance.randint(1, 4)))
    fails = chance.choice((0, 0, 0, 0, 1, 2))
    return Script(stages, min(fails, max_attempts) if chance.random() < 0.1 else min(fails, max_attempts - 1))


def _draw_stage(drawing: Drawing) -> Stage:
    chance = drawing.chance
    size = chance.choice((1, 1, 1, 2, 3, 5))
    mode: Literal["join", "race", "forget"] = "join" if size == 1 else chance.choice(("join", "join", "race", "forget"))
    steps = tuple(_draw_step(drawing) for _ in range(size))
    # Whether the uncaught failure of a loser ends the run is anybody's guess.
    return Stage(mode, steps if mode == "join" else tuple(replace(step, caught=True) for step in steps))


def _draw_step(drawing: Drawing) -> ScriptedStep:
    chance = drawing.chance
    kind = chance.random()
    if kind < 0.2:
        return ScriptedStep(Nap(f"nap{next(drawing.numbers)}", chance.choice((1_000, 30_000, 600_000, 7_200_000))))
    if kind < 0.45:
        return ScriptedStep(drawing.wait(sure=False), caught=chance.random() < 0.8)
    step = replace(drawing.do(), times=1)
    return ScriptedStep(step, caught=step.fails < drawing.max_attempts or chance.random() < 0.8)
