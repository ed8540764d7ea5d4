"""Functions made of asyncio, run by the real adapter: a tree of combinators becomes an ``async def`` function."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import stepwell
from stepwell.authoring.function import Function
from stepwell.client.http import HttpRequest
from stepwell.executing.execution import Runtime, execute
from stepwell.executing.saving import Saver
from stepwell.serving.handler import Handler
from stepwell.steps.invocations import OnParentCancel
from stepwell.wire.call import CallRequest
from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.encoding import encode
from stepwell.wire.ids import EventIdSeed, hash_step_id
from stepwell.wire.reply import Outcome
from stepwell_orchestrator.ports import HttpReply
from tests.sim.drawing import Drawing
from tests.sim.scripted import Entered
from tests.sim.steps import (
    Do,
    EventWait,
    FailsError,
    Invocation,
    Memos,
    MissingError,
    Nap,
    Narrow,
    OneOf,
    SendEvent,
    SendSignal,
    SignalWait,
    Step,
    given,
    labels,
    longest_ms,
)


class Outside(Protocol):
    """Where the steps of a function send to, for one run. Raises ConnectionError when nobody answers."""

    async def send_events(self, run_id: str, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """Send events; their internal ids."""

    async def send_signal(self, run_id: str, signal: str) -> str | None:
        """Send a signal; the run it resumed."""

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Save steps of a call that goes on; the HTTP status."""

    async def sleep_ms(self, duration_ms: int) -> None:
        """Let time pass."""


@dataclass(frozen=True, slots=True)
class InCall:
    """The call that the current code answers."""

    request: CallRequest
    entered: Entered
    take_time: Callable[[], Awaitable[None]]


IN_CALL: ContextVar[InCall] = ContextVar("call")


@dataclass(frozen=True, slots=True)
class Seq:
    """One after another."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """All at once: ``gather``."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class First:
    """Whichever finishes first; the others are left running, or cancelled."""

    parts: tuple[Tree, ...]
    cancels: bool


@dataclass(frozen=True, slots=True)
class Guarded:
    """A failure inside is caught."""

    part: Tree


Tree = Step | Seq | Together | First | Guarded


async def perform(tree: Tree, ctx: stepwell.Context) -> Any:
    """The function that a tree stands for."""
    match tree:
        case Seq(parts):
            return [await perform(part, ctx) for part in parts]
        case Together(parts):
            return list(await asyncio.gather(*(perform(part, ctx) for part in parts)))
        case First(parts, cancels):
            tasks = [asyncio.create_task(perform(part, ctx)) for part in parts]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            winner = next(task for task in tasks if task.done())
            for task in tasks if cancels else ():
                task.cancel()
            return winner.result()
        case Guarded(part):
            try:
                return await perform(part, ctx)
            except stepwell.StepError:
                return "caught"
        case _:
            return await _take(tree, ctx)


async def _take(step: Step, ctx: stepwell.Context) -> Any:
    calls, trigger = ctx.step, ctx.event.data
    match step:
        case Do(name, fails, times):
            return [await calls.run(name, body, name, index, fails) for index in range(times)]
        case Nap(name, duration_ms):
            return await calls.sleep(name, duration_ms / 1_000)
        case EventWait():
            event = await _wait(step, calls)
            return event and event.id
        case SignalWait(name, signal, timeout_ms, replaces):
            timeout = dt.timedelta(milliseconds=timeout_ms)
            found = await calls.wait_for_signal(
                name, signal=signal, timeout=timeout, on_conflict="replace" if replaces else "fail"
            )
            return found and found.data
        case Invocation(name, function, timeout_ms, abandons):
            timeout = dt.timedelta(milliseconds=timeout_ms)
            choice: OnParentCancel = "abandon" if abandons else "cancel"
            return await calls.invoke(
                name, function=function, data=about(trigger), timeout=timeout, on_parent_cancel=choice
            )
        case SendEvent(name, event_name, n):
            data = {**about(trigger), "n": n, "by": name}
            return await calls.send_event(name, stepwell.Event(name=event_name, data=data))
        case SendSignal(name, signal):
            return await calls.send_signal(name, signal=signal, data=name)


async def _wait(step: EventWait, calls: stepwell.Step) -> stepwell.Event | None:
    by_path = step.narrow is Narrow.SAME_USER
    return await calls.wait_for_event(
        step.name,
        event=step.event,
        timeout=dt.timedelta(milliseconds=step.timeout_ms),
        match="data.user" if by_path else None,
        if_=None if by_path else step.narrow.value or None,
        lookback=dt.timedelta(milliseconds=step.lookback) if isinstance(step.lookback, int) else step.lookback,
    )


def about(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """What one function tells another: the user and the number of its own trigger, as far as it has them."""
    return {key: trigger[key] for key in ("user", "n") if key in trigger}


async def body(name: str, index: int, fails: int) -> str:
    """The body of a step that sends nothing."""
    call = IN_CALL.get()
    label = f"{name}:{index}" if index else name
    call.entered(hash_step_id(label), label)
    await call.take_time()
    if call.request.ctx.attempt < fails:
        raise ValueError(f"{label} failed")
    return label.upper()


@dataclass(frozen=True, slots=True)
class Sending:
    """The transport of an app: what its steps send."""

    outside: Outside

    async def send_events(self, events: Sequence[Mapping[str, Any]], seed: EventIdSeed) -> list[str]:
        """Send the one event of a step."""
        (event,) = events
        return await self.outside.send_events(self._enter(event["data"]["by"]), events, seed)

    async def send_signal(self, signal: str, data: Any) -> str | None:
        """Send a signal; ``data`` names the step."""
        return await self.outside.send_signal(self._enter(data), signal)

    async def checkpoint(self, checkpoint: Checkpoint) -> int:
        """Save steps of a call that goes on."""
        return await self.outside.checkpoint(checkpoint)

    def _enter(self, name: str) -> str:
        call = IN_CALL.get()
        call.entered(hash_step_id(name), name)
        return call.request.ctx.run_id


def expected(tree: Tree, memos: Memos, max_attempts: int) -> Any:
    """What the function of a tree returns. Raises FailsError when it cannot return, MissingError when not yet."""
    match tree:
        case Seq(parts):
            return [expected(part, memos, max_attempts) for part in parts]
        case Together(parts):
            return _all(parts, memos, max_attempts)
        case First(parts):
            return OneOf(_any(parts, memos, max_attempts))
        case Guarded(part):
            try:
                return expected(part, memos, max_attempts)
            except FailsError:
                return "caught"
        case _:
            return given(tree, memos, max_attempts)


def _all(parts: Sequence[Tree], memos: Memos, max_attempts: int) -> list[Any]:
    """The first failure ends a gather, whatever the others are at."""
    values: list[Any] = []
    missing: MissingError | None = None
    for part in parts:
        try:
            values.append(expected(part, memos, max_attempts))
        except MissingError as error:
            missing = error
    if missing is not None:
        raise missing
    return values


def _any(parts: Sequence[Tree], memos: Memos, max_attempts: int) -> list[Any]:
    values: list[Any] = []
    for part in parts:
        try:
            values.append(expected(part, memos, max_attempts))
        except MissingError:
            continue
    if not values:
        raise MissingError("any part of a race")
    return values


def leaves(tree: Tree) -> Iterator[Step]:
    """The steps of a tree."""
    match tree:
        case Guarded(part):
            yield from leaves(part)
        case Seq(parts) | Together(parts) | First(parts, _):
            for part in parts:
                yield from leaves(part)
        case _:
            yield tree


class Closure:
    """A tree served by the real adapter."""

    def __init__(
        self,
        tree: Tree,
        slug: str,
        retries: int,
        now_ms: Callable[[], int],
        outside: Outside,
        *,
        checkpoint: bool | stepwell.Checkpointing = False,
        body_ms: int = 0,
    ) -> None:
        self._drawn = (slug, retries, now_ms, outside)
        self._body_ms = body_ms
        self.tree = tree
        self.steps: Sequence[Step] = tuple(leaves(tree))
        self._slug = slug
        app_id, _, function_id = slug.partition("-")
        app = stepwell.App(app_id, dev=True, checkpoint=checkpoint)
        app.transport = transport = Sending(outside)

        @app.function(id=function_id, on="sim/go", retries=retries)
        async def run(ctx: stepwell.Context) -> Any:
            return await perform(tree, ctx)

        async def execution(function: Function[Any], call: CallRequest, target: str | None) -> Outcome:
            # A process that was just started: it does not know that saving has failed lately.
            saver = Saver(lambda: nullcontext(transport.checkpoint), now_ms, outside.sleep_ms, jitter_ms=lambda _: 0)
            runtime = Runtime(send=app.send_wire, send_signal=app.send_signal, now_ms=now_ms, saver=saver)
            return await execute(function, call, target=target, runtime=runtime)

        self._handler = Handler(app, dev=True, framework="sim", now_ms=now_ms, execute=execution)

    @property
    def naps_ms(self) -> int:
        """The time asleep and waiting, at most."""
        return sum(longest_ms(step) + len(labels(step)) * self._body_ms for step in self.steps)

    @property
    def actions(self) -> int:
        """How many things may have to be tried again."""
        return 2 * sum(len(labels(step)) for step in self.steps) + 1

    def saving(self, how: bool | stepwell.Checkpointing, tree: Tree, *, body_ms: int = 0) -> Closure:
        """The function with another tree, whose calls save their steps in this way, and whose bodies take so long."""
        return Closure(tree, *self._drawn, checkpoint=how, body_ms=body_ms)

    def expected(self, memos: Memos, max_attempts: int) -> Any:
        """What a completed run returns. Raises FailsError when it cannot complete, MissingError when not yet."""
        return expected(self.tree, memos, max_attempts)

    async def answer(self, request: CallRequest, target: str, entered: Entered) -> HttpReply:
        """The adapter's reply to a call."""
        IN_CALL.set(InCall(request, entered, self._take_time))
        query = {"fnId": self._slug, "stepId": target}
        asked = HttpRequest("POST", "http://sim.test/api", query, {}, encode(request.encode()))
        answer = await self._handler.handle(asked)
        return HttpReply(answer.status, answer.headers, answer.body)

    async def _take_time(self) -> None:
        if self._body_ms:
            await self._drawn[-1].sleep_ms(self._body_ms)


def draw_tree(drawing: Drawing) -> Tree:
    """A random tree of up to about ten steps."""
    return Seq(tuple(_draw(drawing, 2) for _ in range(drawing.chance.randint(1, 3))))


_LEAF_KINDS = ("do", "do", "nap", "wait", "wait", "send")
_KINDS = (*_LEAF_KINDS, "seq", "together", "together", "first", "first", "guarded", "guarded", "again")


def _draw(drawing: Drawing, depth: int) -> Tree:
    kind = drawing.chance.choice(_KINDS if depth else _LEAF_KINDS)
    parts = [depth - 1] * drawing.chance.randint(2, 3)
    match kind:
        case "nap":
            return drawing.nap()
        case "wait":
            return drawing.wait(sure=False)
        case "send":
            return drawing.sending()
        case "seq":
            return Seq(tuple(_draw(drawing, less) for less in parts))
        case "together":
            return Together(tuple(_draw(drawing, less) for less in parts))
        case "first":
            return First(tuple(_draw_sure(drawing) for _ in parts), cancels=drawing.chance.random() < 0.5)
        case "guarded":
            return Guarded(_draw(drawing, depth - 1))
        case "again":
            return Seq(drawing.waits_in_a_row())
        case _:
            return drawing.do()


def _draw_sure(drawing: Drawing) -> Tree:
    """What cannot fail for good: the winner of a race is anybody's guess."""
    match drawing.chance.choice(("nap", "do", "wait", "wait", "guarded")):
        case "nap":
            return drawing.nap()
        case "wait":
            return drawing.wait(sure=True)
        case "guarded":
            return Guarded(drawing.wait(sure=False))
        case _:
            return drawing.do_surely()
