"""Steps whose bodies a test replaces. What a stub gives goes the way of any result: JSON, types, journal, retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from stepwell.authoring.function import Function
from stepwell.errors import NonRetriableError
from stepwell.replaying.replay import Body, RequestedStep
from stepwell_orchestrator.entry.testing.expectation import ExpectationError

Raisable = Exception | type[Exception]
Execution = tuple[str, str, int]
"""One attempt of one step of one run."""


class Call(NamedTuple):
    """The arguments a step's body would have been called with.

    A fetch has one, the request; an inference has one, the body it would have sent.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(slots=True)
class Stub:
    """What replaces a step's body. ``calls`` has the arguments of every execution so far, repeated attempts too."""

    step: str
    function: str | None
    calls: list[Call] = field(default_factory=list)
    _outcomes: list[Any] = field(default_factory=list, repr=False)
    _in_turn: bool = field(default=False, repr=False)

    def outcome(self) -> Any:
        """The outcome of the execution noted last."""
        if not self._in_turn:
            return self._outcomes[0]
        if len(self.calls) <= len(self._outcomes):
            return self._outcomes[len(self.calls) - 1]
        problem = f'the stub of step "{self.step}" has {len(self._outcomes)} outcomes, and the step was executed again'
        return NonRetriableError(f"{problem}: give the stub one more, or a callable")


@dataclass(slots=True)
class Failures:
    """Attempts of a step that are to fail. ``left`` is how many more of them; None: all."""

    step: str
    function: str | None
    error: Raisable
    left: int | None
    failed: int = 0


class Stubs:
    """The stubs and failures of one engine, by step id as the function writes it; the latest given comes first."""

    def __init__(self) -> None:
        self._stubs: list[Stub] = []
        self._given: dict[Execution, Callable[..., Any]] = {}
        self._failures: list[Failures] = []

    def stub(self, step: str, outcome: Any, function: str | None) -> Stub:
        """Replace the body of a step by an outcome; a list or tuple holds one for each execution."""
        in_turn = isinstance(outcome, list | tuple)
        if in_turn and not outcome:
            raise ExpectationError(
                f'the stub of step "{step}" is an empty list, which holds no outcome; '
                "for a step that returns one, stub it with lambda *_: []"
            )
        stub = Stub(step, function, _outcomes=list(outcome) if in_turn else [outcome], _in_turn=in_turn)
        self._stubs.insert(0, stub)
        return stub

    def fail(self, step: str, times: int | None, error: Raisable | None, function: str | None) -> None:
        """Let attempts of a step fail before its body, or its stub, gets its turn."""
        if times is not None and times < 1:
            raise ExpectationError(f'fail_step("{step}"): times is {times}; it must be 1 or more, or None for always')
        chosen = error or RuntimeError(f'step "{step}" was told to fail')
        self._failures.insert(0, Failures(step, function, chosen, times))

    def body_of(self, function: Function[Any], step: RequestedStep, body: Body, execution: Execution) -> Body:
        """What is executed for a step of a function now."""
        call = Call(tuple(body.args), body.kwargs) if step.args is None else Call(tuple(step.args), {})
        stand_in = self.stand_in(function, step.name.user_id, call, execution)
        return body if stand_in is None else replace(body, fn=stand_in, takes_name=False)

    def stand_in(
        self, function: Function[Any], step_id: str, call: Call, execution: Execution
    ) -> Callable[..., Any] | None:
        """What to call instead of what a step would do with the arguments of ``call``; None when nothing is given.

        An attempt that is made again, because its worker died, is given what it was given before and is not counted.
        """
        if execution not in self._given:
            given = self._take(function, step_id, call)
            if given is None:
                return None
            self._given[execution] = given
        return self._given[execution]

    def _take(self, function: Function[Any], step_id: str, call: Call) -> Callable[..., Any] | None:
        for failures in self._failures:
            if failures.left != 0 and _covers(failures, function, step_id):
                failures.left = None if failures.left is None else failures.left - 1
                failures.failed += 1
                return _body(failures.error)
        for stub in self._stubs:
            if _covers(stub, function, step_id):
                stub.calls.append(call)
                return _body(stub.outcome())
        return None

    def unused(self) -> list[str]:
        """The ids of steps that were given a stub or failures and have never been executed."""
        return sorted(
            {stub.step for stub in self._stubs if not stub.calls}
            | {failures.step for failures in self._failures if not failures.failed}
        )


def _covers(rule: Stub | Failures, function: Function[Any], step_id: str) -> bool:
    return rule.step == step_id and rule.function in (None, function.id, function.slug)


def _body(outcome: Any) -> Callable[..., Any]:
    if isinstance(outcome, Exception) or (isinstance(outcome, type) and issubclass(outcome, Exception)):
        return _raising(outcome)
    return outcome if callable(outcome) else _returning(outcome)


def _raising(error: Raisable) -> Callable[..., Any]:
    async def stub(*_args: Any, **_kwargs: Any) -> Any:
        raise error if isinstance(error, type) else error.with_traceback(None)

    return stub


def _returning(value: Any) -> Callable[..., Any]:
    async def stub(*_args: Any, **_kwargs: Any) -> Any:
        return value

    return stub
