"""Signals: a name that at most one run waits for, and data for that run (protocol 6.9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from stepwell.errors import DefinitionError, WireError
from stepwell.steps.calls import StepId, TypedStepCall, options_of, refuse_policy, runnable
from stepwell.steps.timeouts import Timeout, wait_timeout_text
from stepwell.values.checks import Field
from stepwell.values.serializer import to_json
from stepwell.wire.opcodes import Op

SendSignal = Callable[[str, Any], Awaitable[str | None]]
"""Takes a signal's name and JSON data; gives the id of the run it resumed, or None when no run waits."""

OnConflict = Literal["fail", "replace"]

SIGNAL_NAME_MAX_CHARS: Final = 255


@dataclass(frozen=True, slots=True)
class Signal:
    """What ``step.wait_for_signal`` gives: the signal's name and the data it was sent with."""

    signal: str
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalWait:
    """What to wait for, as the user gave it. ``on_conflict``: what to do when another run waits for the name."""

    signal: str
    timeout: Timeout | None = None
    on_conflict: OnConflict = "fail"


def wait_for_signal_call(step: StepId, wait: SignalWait, now_ms: int) -> TypedStepCall[Signal | None]:
    """A step that gives a Signal, or None when its time is up. Raises DefinitionError naming step and argument."""
    options = options_of(step)
    refuse_policy(options, "a wait is never retried; leave StepOptions.retries and .timeout out, and pass timeout=")
    name = signal_name(f'step "{options.id}"', wait.signal)
    conflict = (
        Field(options.id, "wait_for_signal", "step").member("on_conflict").choice(wait.on_conflict, ("fail", "replace"))
    )
    return TypedStepCall(
        user_id=options.id,
        op=Op.WAIT_FOR_SIGNAL,
        name=name,
        display_name=options.name or options.id,
        restore=partial(_restore, options.id),
        opts={
            "signal": name,
            "timeout": wait_timeout_text(options.id, "wait_for_signal", wait.timeout, now_ms),
            "conflict": conflict,
        },
        may_raise=conflict == "fail",
    )


def send_signal_call(step: StepId, signal: str, data: Any, send: SendSignal) -> TypedStepCall[str | None]:
    """A step that gives the id of the run it resumed, or None when no run waits.

    Raises DefinitionError naming step and argument, EncodingError when the data cannot be JSON.
    """
    options = options_of(step)
    name = signal_name(f'step "{options.id}"', signal)
    encoded = to_json(data, f'step "{options.id}", send_signal: the data')
    return runnable(options, send, (name, encoded), {}, opts={"type": "step.sendSignal"})


def signal_name(owner: str, name: Any) -> str:
    """``name`` as a signal's. Raises DefinitionError that starts with ``owner``."""
    if not isinstance(name, str) or not 0 < len(name) <= SIGNAL_NAME_MAX_CHARS:
        shown = f"{len(name)} characters" if isinstance(name, str) else repr(name)
        raise DefinitionError(
            f"{owner}: a signal's name must be a text of 1 to {SIGNAL_NAME_MAX_CHARS} characters, got {shown}"
        )
    return name


def _restore(step_id: str, value: Any) -> Signal | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not isinstance(value.get("signal"), str):
        raise WireError(f'step "{step_id}": the journal has {value!r} for it, which is no signal')
    return Signal(value["signal"], value.get("data"))
