"""Where a rerun begins: what somebody asked for, checked against the original's journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from stepwell.wire.encoding import encode
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.engine.journal.stack import stack_of
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import RERUN_ARGUMENTS_BYTES_MAX
from stepwell_orchestrator.model.queue_item import FromStep
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step_kind import StepKind, kind_of

_SHOWN_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class AskedStart:
    """The step to begin at, by the id its function gives it or by its hash, and arguments to replace its own."""

    step: str
    arguments: tuple[Any, ...] | None = None


def start_of(original: Run, asked: AskedStart) -> FromStep:
    """The start that was asked for. Raises ApiError: 404 for an unknown step, 409 while the original goes on, 400.

    The steps before it are those that finished before it did; of a step that never finished, all that finished.
    """
    if original.header.outcome is None:
        message = f"run {original.header.run_id} has not ended; wait for its end, or cancel it, to run it from a step"
        raise ApiError(409, message, code="run_not_ended")
    step_id = _step_id(original, asked.step)
    stack = stack_of(original)
    kept = stack.index(step_id) if step_id in stack else len(stack)
    if asked.arguments is not None:
        _check_arguments(original, step_id, asked.arguments)
    return FromStep(step_id, kept, asked.arguments)


def _step_id(original: Run, text: str) -> str:
    for step_id in (text, hash_step_id(text)):
        if step_id in original.steps:
            return step_id
    names = [entry.name for entry in original.steps.values()][:_SHOWN_STEPS]
    known = f"it has {', '.join(names)}" if names else "it has none"
    raise ApiError(404, f"the run has no step {text[:100]!r}; {known}", code="step_not_found")


def _check_arguments(original: Run, step_id: str, arguments: tuple[Any, ...]) -> None:
    entry = original.entries[step_id]
    if kind_of(entry.op) is not StepKind.RUN:
        message = f'step "{entry.name}" takes no arguments: it is {entry.op.value}; only steps with a body do'
        raise ApiError(400, message, code="step_without_arguments")
    size = len(encode(arguments))
    if size > RERUN_ARGUMENTS_BYTES_MAX:
        message = f"the arguments are {size} bytes; the limit is {RERUN_ARGUMENTS_BYTES_MAX}"
        raise ApiError(413, message)
