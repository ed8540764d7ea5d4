"""One call of a user function: replay it, then finish, fail, execute its next step or report its steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from stepwell.body import EXECUTING, Runtime, execute_step, report
from stepwell.context import Context, SyncContext
from stepwell.coroutines import CoroutineHost
from stepwell.errors import EncodingError, EventError
from stepwell.event import Event
from stepwell.failures import failed_call
from stepwell.logger import ReplayLogger
from stepwell.replay import Paused, Progress, Raised, Replay, RequestedStep, Returned
from stepwell.serializer import to_json
from stepwell.step import Step, SyncStep
from stepwell.threads import ThreadHost
from stepwell.wire.call import CallRequest
from stepwell.wire.errors import ErrorBody
from stepwell.wire.reply import Failed, Finished, Instructions, Outcome

__all__ = ["Runtime", "carry_on", "execute"]

FOUND_STEPS_MAX: Final = 25

_LOGGER = logging.getLogger("stepwell")

Host = CoroutineHost | ThreadHost


class Executable(Protocol):
    """What this needs to know of a function."""

    @property
    def id(self) -> str:
        """Its id in the app."""

    @property
    def slug(self) -> str:
        """Its id on the wire."""

    @property
    def handler(self) -> Callable[[Any], Any]:
        """The user's callable; takes the context."""

    @property
    def is_async(self) -> bool:
        """Whether calling the handler gives a coroutine."""

    @property
    def retries(self) -> int:
        """The attempts after the first."""

    @property
    def event_types(self) -> Mapping[str, type[Event]]:
        """The classes of typed events, by event name."""


async def execute(function: Executable, call: CallRequest, *, target: str | None, runtime: Runtime) -> Outcome:
    """Carry out one call request (protocol 4.10); ``target`` is the hashed step id of a targeted call.

    Never raises for what user code does. Cancelling it cancels the function.
    """
    replay = Replay(call, target)
    try:
        return await carry_on(function, replay, runtime)
    finally:
        _warn(function, replay)


async def carry_on(function: Executable, replay: Replay, runtime: Runtime) -> Outcome:
    """The same for a replay of the caller's own, which then knows what was asked for and how it differed."""
    if replay.target_finished:
        return Instructions(())
    call = replay.call
    try:
        events = tuple(_event(function, raw) for raw in call.events or [call.event])
    except EventError as error:
        return failed_call(error, runtime.now_ms(), code="event_invalid", no_retry=True)
    host: Host = CoroutineHost(replay, runtime.patience_s) if function.is_async else ThreadHost(replay)
    context = _context(function, replay, events, host, runtime)
    try:
        progress = await host.advance(partial(function.handler, context))
        return await _outcome(function, replay, host, progress, runtime)
    finally:
        await host.close()


async def _outcome(function: Executable, replay: Replay, host: Host, progress: Progress, runtime: Runtime) -> Outcome:
    steps = host.reportable(progress)
    if replay.target is not None:
        steps = [step for step in replay.new_steps if step.hashed == replay.target]
    match progress:
        case Raised(error) if not (replay.target and steps):
            return failed_call(error, runtime.now_ms())
        case Returned(value) if replay.target is None and not steps:
            return _finished(function, value, runtime.now_ms())
        case Raised() | Returned() | Paused():
            return await _carry_out(function, replay, host, steps, runtime) if steps else _not_found(function, replay)


async def _carry_out(
    function: Executable, replay: Replay, host: Host, steps: list[RequestedStep], runtime: Runtime
) -> Instructions:
    """Execute the only step when that is allowed, else report all."""
    ctx, modes, only = replay.call.ctx, host.modes(steps), steps[0]
    immediate = replay.target is not None or not ctx.disable_immediate_execution
    if len(steps) == 1 and only.call.body is not None and immediate:
        return await execute_step(only, only.call.body, ctx, modes[0], runtime)
    return Instructions(tuple(map(report, steps, modes)))


def _finished(function: Executable, value: Any, now_ms: int) -> Outcome:
    try:
        return Finished(to_json(value, f'function "{function.slug}": the result'))
    except EncodingError as error:
        return failed_call(error, now_ms, code="output_unserializable", no_retry=True)


def _not_found(function: Executable, replay: Replay) -> Failed:
    """The server asked for a step that this code does not reach (protocol 5.7); a later deployment may."""
    found = replay.new_steps
    labels = ", ".join(f'"{step.label}"' for step in found[:FOUND_STEPS_MAX]) or "none"
    message = (
        f'function "{function.slug}" was asked to execute step {replay.target}, but its replay does not reach it; '
        f"steps found: {labels}. Keep step ids and their order stable while runs are in flight"
    )
    error = ErrorBody("StepNotFound", message, code="step_not_found")
    return Failed(error, error.encode())


def _event(function: Executable, raw: Mapping[str, Any]) -> Event:
    return function.event_types.get(str(raw.get("name")), Event).from_wire(raw)


def _context(
    function: Executable, replay: Replay, events: tuple[Event, ...], host: Host, runtime: Runtime
) -> Context | SyncContext:
    ctx = replay.call.ctx
    facts: dict[str, Any] = {
        "event": events[0],
        "events": events,
        "run_id": ctx.run_id,
        "function_id": function.id,
        "attempt": ctx.attempt,
        "max_attempts": function.retries + 1 if ctx.max_attempts is None else ctx.max_attempts,
        "logger": ReplayLogger(
            {"function": function.slug, "run_id": ctx.run_id},
            lambda: replay.replaying and EXECUTING.get() is None,
        ),
    }
    if isinstance(host, CoroutineHost):
        return Context(step=Step(host, ctx.run_id, runtime), **facts)
    return SyncContext(step=SyncStep(host, ctx.run_id, runtime), **facts)


def _warn(function: Executable, replay: Replay) -> None:
    if replay.problem is not None:
        _LOGGER.warning(
            'function "%s", run %s: the replay differs from the journal: %s. Decide by the event and step results '
            "alone, and give a changed step a new id, e.g. with a version in it",
            function.slug,
            replay.call.ctx.run_id,
            replay.problem.text,
        )
