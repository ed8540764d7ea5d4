"""One call of a user function: replay it, execute its steps one after another, then finish, fail or report.

Where a call may not go on after a step (protocol 9.1) it executes one at most, and that one ends it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Final, Protocol

from stepwell.authoring.checkpointing import Pace
from stepwell.errors import EncodingError, EventError, MiddlewareError, StepwellWarning
from stepwell.executing.coroutine_host import CoroutineHost
from stepwell.executing.differences import difference_of
from stepwell.executing.nesting import EXECUTING
from stepwell.executing.runtime import Runtime
from stepwell.executing.step_body import Modes, execute_step, report
from stepwell.executing.step_buffer import NotSavedError, SupersededError, Unsaved
from stepwell.executing.thread_host import ThreadHost
from stepwell.middleware.base import CallInput
from stepwell.middleware.hooks import Chain
from stepwell.replaying.logger import ReplayLogger, SaidLines
from stepwell.replaying.replay import Paused, Progress, Raised, Replay, RequestedStep, Returned
from stepwell.steps.context import Context, SyncContext
from stepwell.steps.step import Step
from stepwell.steps.sync_step import SyncStep
from stepwell.values.event import Event
from stepwell.values.failures import failed_call
from stepwell.values.serializer import to_json
from stepwell.wire.call import CallRequest
from stepwell.wire.encoding import canonical, decode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op, Opcode, ParallelMode
from stepwell.wire.reply import Failed, Finished, Instructions, Outcome

__all__ = ["Runtime", "carry_on", "execute"]

FOUND_STEPS_MAX: Final = 25
RUN_COMPLETE_ID: Final = hash_step_id("complete")

_LOGGER = logging.getLogger("stepwell")

Host = CoroutineHost | ThreadHost


class Executable(Protocol):
    """What this needs to know of a function."""

    @property
    def id(self) -> str:
        """Its id in the app."""
        ...

    @property
    def slug(self) -> str:
        """Its id on the wire."""
        ...

    @property
    def handler(self) -> Callable[[Any], Any]:
        """The user's callable; takes the context."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether calling the handler gives a coroutine."""
        ...

    @property
    def retries(self) -> int:
        """The attempts after the first."""
        ...

    @property
    def event_types(self) -> Mapping[str, type[Event]]:
        """The classes of typed events, by event name."""
        ...

    @property
    def pace(self) -> Pace | None:
        """How its calls save steps while they go on; None when they do not."""
        ...

    @property
    def middleware(self) -> Chain:
        """What its calls go through."""
        ...


async def execute(function: Executable, call: CallRequest, *, target: str | None, runtime: Runtime) -> Outcome:
    """Carry out one call request (protocol 4.10); ``target`` is the hashed step id of a targeted call.

    Never raises for what user code does. Cancelling it cancels the function.
    """
    replay = Replay(call, target)
    outcome = await carry_on(function, replay, runtime)
    difference = difference_of(replay, function.slug)
    return outcome if difference is None else replace(outcome, warnings=(difference, *outcome.warnings))


async def carry_on(function: Executable, replay: Replay, runtime: Runtime) -> Outcome:
    """The same for a replay of the caller's own, which then knows what was asked for and how it differed."""
    if replay.target_finished:
        return Instructions(())
    try:
        hooks = function.middleware.hooks(runtime.now_ms)
        outcome = await _called(function, replay, replace(runtime, hooks=hooks, send=hooks.sending(runtime.send)))
        await hooks.before_response()
    except MiddlewareError as error:
        return _hook_failed(error, runtime)
    return outcome


async def _called(function: Executable, replay: Replay, runtime: Runtime) -> Outcome:
    call = replay.call
    steps = replay.values() if runtime.hooks else {}
    given = _input(function, replay, [dict(event) for event in call.events or [call.event]], steps)
    if runtime.hooks:
        await runtime.hooks.transform_input(given)
        replay.replace_values(given.steps)
    try:
        events = tuple(_event(function, raw) for raw in given.events)
    except EventError as error:
        return failed_call(error, runtime.now_ms(), code="event_invalid", no_retry=True)
    await runtime.hooks.before_memoization()
    async with Unsaved(call, replay.target, function.pace, runtime) as unsaved:
        host = _host(function, replay, unsaved, runtime)
        lines = SaidLines(replay)
        context = _context(function, replay, _Given(events, given.state, lines), host, runtime)
        try:
            progress = await host.advance(partial(function.handler, context))
            await runtime.hooks.after_memoization()
            outcome = await _Course(function, replay, host, unsaved, runtime).outcome(progress)
            return _with_said(_with_leftovers(outcome, function, host), lines)
        except NotSavedError:
            return _with_said(unsaved.remainder(), lines)
        except SupersededError:
            return _superseded(function)
        finally:
            lines.close()
            await host.close()


def _with_said(outcome: Outcome, lines: SaidLines) -> Outcome:
    """The outcome, with how far the function's lines in the log have come. From here on it says none."""
    said = lines.close()
    return outcome if isinstance(outcome, Finished) else replace(outcome, said=said)


def _with_leftovers(outcome: Outcome, function: Executable, host: Host) -> Outcome:
    """The outcome, with what the function gave up, and with a warning for each step that it lost by mistake.

    Raises StepwellWarning where warnings are errors.
    """
    if isinstance(outcome, Instructions) and all(opcode.op is not Op.RUN_COMPLETE for opcode in outcome.opcodes):
        return replace(outcome, given_up=tuple(step.hashed for step in host.given_up()))
    dropped = host.dropped()
    for each in dropped:
        warnings.warn_explicit(each.text(function.slug), StepwellWarning, each.file, each.line)
    return replace(outcome, warnings=tuple(each.text(function.slug) for each in dropped))


def _host(function: Executable, replay: Replay, unsaved: Unsaved, runtime: Runtime) -> Host:
    if function.is_async:
        return CoroutineHost(replay, runtime.patience_s, unsaved.save_due)
    return ThreadHost(
        replay, unsaved.save_due, waits=unsaved.goes_on, grace_s=runtime.grace_s, patience_s=runtime.patience_s
    )


@dataclass(frozen=True, slots=True)
class _Course:
    """The course of one call, once the function has come to rest for the first time.

    Raises NotSavedError and SupersededError, which end the call.
    """

    function: Executable
    replay: Replay
    host: Host
    unsaved: Unsaved
    runtime: Runtime

    async def outcome(self, progress: Progress) -> Outcome:
        """Execute steps for as long as there is one at a time to execute, and say what there is in the end."""
        try:
            return await self._outcome(progress)
        except MiddlewareError as error:
            await self.unsaved.save()
            return _hook_failed(error, self.runtime)

    async def _outcome(self, progress: Progress) -> Outcome:
        while True:
            steps = self._wanted(progress)
            only = self._executable(progress, steps)
            if only is None:
                return await self._end(progress, steps)
            await self.unsaved.save_due()
            if not self.unsaved.begins:
                return await self._out_of_time(only)
            reply = await self._execute(only)
            if reply is not None:
                return reply
            progress = await self.host.resume()

    def _wanted(self, progress: Progress) -> list[RequestedStep]:
        if self.replay.target is None:
            return self.host.reportable(progress)
        return [step for step in self.replay.new_steps if step.hashed == self.replay.target]

    def _executable(self, progress: Progress, steps: list[RequestedStep]) -> RequestedStep | None:
        """The only step when it may be executed in this call."""
        targeted = self.replay.target is not None
        if len(steps) != 1 or steps[0].call.body is None or (isinstance(progress, Raised) and not targeted):
            return None
        planned = self.replay.call.ctx.disable_immediate_execution or self.host.raced
        return steps[0] if targeted or not planned else None

    async def _execute(self, step: RequestedStep) -> Instructions | None:
        """Execute a step; the reply when it ends the call."""
        assert step.call.body is not None
        modes = Modes(self.host.modes([step])[0], self.host.failure_mode(step))
        self.unsaved.note_begin()
        ctx = self.replay.call.ctx
        reply = await execute_step(step, step.call.body, ctx, modes, self.runtime, function=self.function.slug)
        opcode = reply.opcodes[0]
        if opcode.op is not Op.STEP_RUN:
            await self.unsaved.save()
            return reply
        if not self.host.resumable or not self.unsaved.goes_on:
            return await self.unsaved.reply(opcode)
        raw = canonical(opcode.data)
        await self.unsaved.add(opcode, len(raw))
        self.replay.finish(step, await self._given_out(step, decode(raw)))
        return None

    async def _given_out(self, step: RequestedStep, value: Any) -> Any:
        """What the function gets for a stored result: the same as a replay would give it."""
        if not self.runtime.hooks:
            return value
        given = _input(self.function, self.replay, [], {step.hashed: value})
        await self.runtime.hooks.transform_input(given)
        return given.steps[step.hashed]

    async def _out_of_time(self, step: RequestedStep) -> Instructions:
        """Hand back what was executed, or else the step that is not begun any more."""
        if not self.unsaved.empty:
            return await self.unsaved.reply()
        return Instructions((report(step, self.host.modes([step])[0]),))

    async def _end(self, progress: Progress, steps: list[RequestedStep]) -> Outcome:
        match progress:
            case Raised(error) if not (self.replay.target and steps):
                return await self._ended(None, error)
            case Returned(value) if self.replay.target is None and not steps:
                return await self._returned(value)
            case Raised() | Returned() | Paused():
                if not steps:
                    return _not_found(self.function, self.replay)
                reports = [await self._report(*wanted) for wanted in zip(steps, self.host.modes(steps), strict=True)]
                return await self.unsaved.reply(*reports)

    async def _report(self, step: RequestedStep, mode: ParallelMode | None) -> Opcode:
        opcode = report(step, mode)
        if "lookback" in opcode.opts and not self.replay.call.ctx.from_stepwell:
            _warn_of_lookback(self.function.slug, step.call.user_id)
        if opcode.op is not Op.INVOKE_FUNCTION:
            return opcode
        return replace(opcode, opts=await self.runtime.hooks.invoke_opts(opcode.opts))

    async def _returned(self, value: Any) -> Outcome:
        try:
            encoded = to_json(value, f'function "{self.function.slug}": the result')
        except EncodingError as error:
            return await self._ended(None, error, code="output_unserializable", no_retry=True)
        return await self._ended(encoded, None)

    async def _ended(self, value: Any, error: BaseException | None, **why: Any) -> Outcome:
        """The function has returned a JSON value or raised; ``why`` says more of an error that is not its own."""
        value, error = await self.runtime.hooks.transform_output(value, error)
        if error is None and not self.unsaved.empty:
            return await self.unsaved.reply(Opcode(Op.RUN_COMPLETE, RUN_COMPLETE_ID, data=value))
        await self.unsaved.save()
        return Finished(value) if error is None else failed_call(error, self.runtime.now_ms(), **why)


@cache
def _warn_of_lookback(slug: str, step_id: str) -> None:
    """Say it once: the wait would end at its timeout in silence."""
    _LOGGER.warning(
        'function "%s", step "%s": this server does not know lookback, so events from before the wait do not end it; '
        "begin the wait before what brings the event, and await it later, or use a Stepwell server",
        slug,
        step_id,
    )


def _hook_failed(error: MiddlewareError, runtime: Runtime) -> Failed:
    return failed_call(error, runtime.now_ms(), code="middleware_failed")


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


def _superseded(function: Executable) -> Failed:
    """The server knows that this call is stale, and makes nothing of its answer; no other should try it again."""
    message = (
        f'function "{function.slug}": this call was superseded while it ran: the run has ended, or a later call '
        "carries it on; nothing is to be done"
    )
    error = ErrorBody("SupersededError", message, code="superseded")
    return Failed(error, error.encode(), no_retry=True)


def _event(function: Executable, raw: Mapping[str, Any]) -> Event:
    return function.event_types.get(str(raw.get("name")), Event).from_wire(raw)


def _input(function: Executable, replay: Replay, events: list[dict[str, Any]], steps: dict[str, Any]) -> CallInput:
    call = replay.call
    return CallInput(
        function_slug=function.slug,
        run_id=call.ctx.run_id,
        attempt=call.ctx.attempt,
        first=not call.steps and call.ctx.attempt == 0 and replay.target is None,
        events=events,
        steps=steps,
    )


@dataclass(frozen=True, slots=True)
class _Given:
    """What a context has from the call and its middleware, and the count of the lines that are logged by it."""

    events: tuple[Event, ...]
    state: Mapping[str, Any]
    lines: SaidLines


def _context(
    function: Executable, replay: Replay, given: _Given, host: Host, runtime: Runtime
) -> Context | SyncContext:
    ctx = replay.call.ctx
    facts: dict[str, Any] = {
        "event": given.events[0],
        "events": given.events,
        "state": given.state,
        "run_id": ctx.run_id,
        "function_id": function.id,
        "attempt": ctx.attempt,
        "max_attempts": function.retries + 1 if ctx.max_attempts is None else ctx.max_attempts,
        "logger": ReplayLogger(
            {"function": function.slug, "run_id": ctx.run_id},
            given.lines,
            lambda: EXECUTING.get() is not None,
        ),
    }
    if isinstance(host, CoroutineHost):
        return Context(step=Step(host, ctx.run_id, runtime), **facts)
    return SyncContext(step=SyncStep(host, ctx.run_id, runtime), **facts)
