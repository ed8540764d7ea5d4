"""The kinds of steps: how a step that a function asks for may differ from the one that the journal has under its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from stepwell.wire.encoding import encode
from stepwell.wire.memo import Failure, Value, decode_memo
from stepwell.wire.opcodes import Op


class Difference(StrEnum):
    """In what a replay differs from the journal: which step comes next, what kind it is, or what it is about."""

    ORDER = "order"
    KIND = "kind"
    OPTIONS = "options"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A step that is not what the journal has; ``text`` goes on a sentence that begins with the step."""

    what: Difference
    text: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a journal knows of a step besides its memo: the opcode that first reported it, and its options."""

    op: Op
    opts: Mapping[str, Any] = field(default_factory=dict)

    def conflict(self, op: Op, opts: Mapping[str, Any]) -> Conflict | None:
        """How a step call with this opcode and these options differs from what was recorded.

        A duration or a timeout does not matter, it was fixed when the step was first reported; what a wait is for and
        what is invoked does: the run goes on with the first.
        """
        now, before = _noun(op, opts), _noun(self.op, self.opts)
        if now != before:
            return Conflict(Difference.KIND, f"is {now} now, the journal has {before} for it")
        for option, noun in _TELLING.get(op, {}).items():
            if opts.get(option) != self.opts.get(option):
                new, old = _shown(noun, opts.get(option)), _shown(noun, self.opts.get(option))
                return Conflict(Difference.OPTIONS, f"has {new} now, the journal has {old} for it")
        return None


def shape_conflict(op: Op, raw: Any) -> Conflict | None:
    """The same with nothing but the raw memo to go by, as far as its shape proves it (protocol 4.3)."""
    kind = _KINDS.get(op)
    if kind is None or kind.may_store(raw):
        return None
    found = "a sleep or a timed-out wait" if raw is None else "the result of another kind of step"
    return Conflict(Difference.KIND, f"is {kind.noun} now, the journal has {found} for it")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of step, and whether it may have stored a raw memo."""

    noun: str
    may_store: Callable[[Any], bool]


def _is_event(raw: Any) -> bool:
    return isinstance(raw, Mapping) and isinstance(raw.get("name"), str)


def _is_signal(raw: Any) -> bool:
    memo = decode_memo(raw)
    return isinstance(memo, Failure) or (
        isinstance(memo, Value) and isinstance(memo.value, Mapping) and "signal" in memo.value
    )


def _is_wrapped(raw: Any) -> bool:
    return isinstance(raw, Mapping) and set(raw) - {"type"} in ({"data"}, {"error"})


_RUN: Final = _Kind("a run", lambda raw: raw is not None)
_KINDS: Final[Mapping[Op, _Kind]] = {
    Op.STEP_RUN: _RUN,
    Op.SLEEP: _Kind("a sleep", lambda raw: raw is None),
    Op.WAIT_FOR_EVENT: _Kind("a wait for an event", lambda raw: raw is None or _is_event(raw)),
    Op.WAIT_FOR_SIGNAL: _Kind("a wait for a signal", lambda raw: raw is None or _is_signal(raw)),
    Op.INVOKE_FUNCTION: _Kind("an invocation", _is_wrapped),
    Op.GATEWAY: _Kind("a fetch", _is_wrapped),
    Op.AI_GATEWAY: _Kind("an inference", _is_wrapped),
}
_TYPES: Final = {
    "step.sendEvent": "a send of events",
    "step.sendSignal": "a send of a signal",
    "step.ai.wrap": "a wrapped AI call",
}
_TELLING: Final[Mapping[Op, Mapping[str, str]]] = {
    Op.WAIT_FOR_EVENT: {"event": "event", "if": "condition"},
    Op.WAIT_FOR_SIGNAL: {"signal": "signal"},
    Op.INVOKE_FUNCTION: {"function_id": "function"},
}


def _noun(op: Op, opts: Mapping[str, Any]) -> str:
    """A step whose opcode is not that of a wait has a body, whatever became of it."""
    kind = _KINDS.get(op, _RUN)
    return _TYPES.get(str(opts.get("type")), kind.noun) if kind is _RUN else kind.noun


def _shown(noun: str, value: Any) -> str:
    return f"no {noun}" if value is None else f"the {noun} {encode(value).decode()}"
