"""One replay of a function: names its steps, hands out memos in the order they were stored, and keeps what is new.

Pure bookkeeping. How the function runs, as a coroutine or in a thread, is the business of those who use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell.errors import InvokeTimeoutError, StepError
from stepwell.replaying.replay_rules import Conflict, Difference, Recorded, shape_conflict
from stepwell.wire.call import CallRequest
from stepwell.wire.ids import StepName, StepNames
from stepwell.wire.memo import INVOKE_TIMEOUT, Failure, Input, Memo, Value, decode_memo
from stepwell.wire.opcodes import Op

_LISTED_MAX: Final = 5
"""How many of the steps that a function asks for a sentence names."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a runnable step executes, and its policy. ``takes_name``: the StepName goes before the arguments.

    ``context`` is what surrounds the step call: its context variables reach the body.
    """

    fn: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    retries: int | None = None
    timeout_ms: int | None = None
    takes_name: bool = False
    context: Context = field(default_factory=copy_context, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class StepCall:
    """What one step call asks for.

    ``op`` is what is reported: STEP_RUN (planned, or executed in place) for a step with a ``body``, the opcode of the
    wait otherwise. ``restore`` turns the stored JSON value into what the call gives. ``may_raise``: what ends the wait
    may make the call raise, without this side knowing of it first.
    """

    user_id: str
    op: Op
    name: str
    display_name: str
    restore: Callable[[Any], Any]
    opts: Mapping[str, Any] = field(default_factory=dict)
    body: Body | None = None
    may_raise: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RequestedStep:
    """A step the function has asked for in this replay. ``args`` replaces the arguments of its body (protocol 4.3).

    ``where`` is the ``file:line`` of the call, where it is known.
    """

    name: StepName
    call: StepCall
    args: tuple[Any, ...] | None = None
    where: str = ""

    @property
    def hashed(self) -> str:
        """The wire id."""
        return self.name.hashed

    @property
    def label(self) -> str:
        """The id as the user counts it: ``x``, ``x:1``."""
        return f"{self.name.user_id}:{self.name.index}" if self.name.index else self.name.user_id


@dataclass(frozen=True, slots=True)
class Divergence:
    """How a replay first differed from the journal.

    ``step`` is the hashed id of the step that the journal has, ``after`` of the one whose memo was given out last, None
    at the beginning; ``found`` is what the function asks for there.
    """

    what: Difference
    step: str
    after: str | None
    found: tuple[RequestedStep, ...]
    text: str


@dataclass(slots=True)
class Replay:
    """The state of one replay of ``call``; ``target`` is the hashed id of the only step to execute or report.

    A call request tells no more of the journal than its memos; ``recorded`` is what else is known of its steps.
    """

    call: CallRequest
    target: str | None = None
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    problem: Divergence | None = None
    """How this replay first differed from the journal; None as long as the function is deterministic."""
    given: list[str] = field(default_factory=list)
    """The hashed ids of the steps whose memos were given out, in that order."""
    _names: StepNames = field(default_factory=StepNames)
    _requested: dict[str, RequestedStep] = field(default_factory=dict)
    _new: dict[str, RequestedStep] = field(default_factory=dict)
    _memos: dict[str, Memo] = field(init=False)
    _inputs: dict[str, tuple[Any, ...]] = field(init=False)
    _waiting: dict[str, bool] = field(init=False)

    def __post_init__(self) -> None:
        decoded = {hashed: decode_memo(raw) for hashed, raw in self.call.steps.items()}
        self._inputs = {hashed: memo.args for hashed, memo in decoded.items() if isinstance(memo, Input)}
        self._memos = {hashed: memo for hashed, memo in decoded.items() if not isinstance(memo, Input)}
        stacked = dict.fromkeys((hashed for hashed in self.call.ctx.stack if hashed in self._memos), True)
        self._waiting = stacked | {hashed: False for hashed in self._memos if hashed not in stacked}

    @property
    def replaying(self) -> bool:
        """Whether the function still runs through what it has run before: a memo waits, or a target is looked for."""
        return bool(self._waiting) or self.target is not None

    @property
    def in_order(self) -> bool:
        """Whether the memo stored next has been asked for."""
        return next(iter(self._waiting), None) in self._requested

    @property
    def overdue(self) -> str | None:
        """The hashed id of the step stored next when that has not been asked for.

        Once everything stored before it was given out, a deterministic function asks for it: it was stored because an
        earlier replay, with no more memos than these, had asked for it.
        """
        hashed, stacked = next(iter(self._waiting.items()), ("", False))
        return hashed if stacked and hashed not in self._requested else None

    @property
    def target_finished(self) -> bool:
        """Whether the target has its memo already: this call was delivered twice (protocol 5.7)."""
        return self.target in self._memos

    @property
    def target_requested(self) -> bool:
        """Whether the function has reached the target."""
        return self.target in self._requested

    @property
    def new_steps(self) -> list[RequestedStep]:
        """The steps asked for that have no memo, in the order they were asked for."""
        return list(self._new.values())

    @property
    def last_given(self) -> str | None:
        """The hashed id of the step whose memo was given out last, None at the beginning."""
        return self.given[-1] if self.given else None

    @property
    def requested(self) -> Mapping[str, RequestedStep]:
        """Every step asked for, by hashed id, in the order they were asked for."""
        return self._requested

    def name(self, user_id: str) -> StepName:
        """The name of a step that may be requested later; names must be taken in the same order in every replay."""
        return self._names.name(user_id)

    def request(self, call: StepCall, name: StepName | None = None, where: str = "") -> RequestedStep:
        """Take a step call, made at ``where``, under the next name for its id unless it has one."""
        name = name or self.name(call.user_id)
        step = RequestedStep(name, call, self._inputs.get(name.hashed), where)
        self._requested[name.hashed] = step
        if name.hashed not in self._memos:
            self._new[name.hashed] = step
            self._check_kind(step)
        return step

    def values(self) -> dict[str, Any]:
        """The stored results, as JSON, of the steps that did not fail, by hashed id."""
        return {hashed: memo.value for hashed, memo in self._memos.items() if isinstance(memo, Value)}

    def replace_values(self, values: Mapping[str, Any]) -> None:
        """Give out these results in the place of those that ``values`` gave."""
        self._memos.update({hashed: Value(values[hashed]) for hashed in self.values() if hashed in values})

    def finish(self, step: RequestedStep, value: Any) -> None:
        """Take the result that a new step had in this very call, as JSON; it is given out like a stored one."""
        del self._new[step.hashed]
        self._memos[step.hashed] = Value(value)
        self._waiting[step.hashed] = False

    def next_memo(self) -> tuple[RequestedStep, Memo] | None:
        """Take the earliest stored memo whose step has been asked for; those outside the stack come last."""
        for hashed in self._waiting:
            if hashed in self._requested:
                step = self._requested[hashed]
                return step, self._take(step)
        return None

    def memo(self, step: RequestedStep) -> Memo | None:
        """Take the memo of ``step``, out of order; None when it has not finished."""
        return self._take(step) if step.hashed in self._memos else None

    def check_order(self, found: Sequence[RequestedStep]) -> None:
        """Note a problem when a step is overdue; ``found`` is what the function asked for instead."""
        expected = self.overdue
        if expected is not None:
            text = f"the journal has step {expected} here, this replay asked for {_listed(found)} instead"
            self._note(Divergence(Difference.ORDER, expected, self.last_given, tuple(found), text))

    def _take(self, step: RequestedStep) -> Memo:
        if self._waiting.pop(step.hashed, False):
            self._check_kind(step)
        self.given.append(step.hashed)
        return self._memos[step.hashed]

    def _check_kind(self, step: RequestedStep) -> None:
        conflict = self._conflict(step)
        if conflict is not None:
            text = f'step "{step.label}" {conflict.text}'
            self._note(Divergence(conflict.what, step.hashed, self.last_given, (step,), text))

    def _conflict(self, step: RequestedStep) -> Conflict | None:
        """How a step differs from what the journal has for it, which is its record, its memo, or nothing."""
        recorded = self.recorded.get(step.hashed)
        if recorded is not None:
            return recorded.conflict(step.call.op, step.call.opts)
        return shape_conflict(step.call.op, self.call.steps[step.hashed]) if step.hashed in self._memos else None

    def _note(self, problem: Divergence) -> None:
        self.problem = self.problem or problem


def _listed(steps: Sequence[RequestedStep]) -> str:
    """The labels of some steps, for a sentence; of many, the first ones."""
    labels = [f'"{step.label}"' for step in steps[:_LISTED_MAX]]
    more = [f"{len(steps) - _LISTED_MAX} more"] if len(steps) > _LISTED_MAX else []
    return ", ".join(labels + more) or "no other step"


def result_of(step: RequestedStep, memo: Memo) -> Any:
    """What the step call gives. Raises StepError when the step failed for good, EncodingError when it does not fit."""
    match memo:
        case Value(value):
            return step.call.restore(value)
        case Failure(error):
            timed_out = step.call.op is Op.INVOKE_FUNCTION and error.name == INVOKE_TIMEOUT
            raised = InvokeTimeoutError if timed_out else StepError
            raise raised(error.message, name=error.name, stack=error.stack)
        case Input():
            raise AssertionError("an input is never handed out as a memo")


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The handler raised."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class Paused:
    """The handler can go no further before a step finishes."""


Progress = Returned | Raised | Paused
