"""Functions made of asyncio, run by the real adapter: a tree of combinators becomes an ``async def`` function."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import stepwell
from stepwell.handler import Handler
from stepwell.http import HttpRequest
from stepwell.wire.call import CallRequest
from stepwell.wire.encoding import encode
from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.ports import HttpReply
from tests.sim.scripted import UNKNOWN, Entered, FailsError


@dataclass(frozen=True, slots=True)
class InCall:
    """The call that the current code answers."""

    request: CallRequest
    entered: Entered


IN_CALL: ContextVar[InCall] = ContextVar("call")


@dataclass(frozen=True, slots=True)
class Do:
    """A step, ``times`` over under one id, failing in its first ``fails`` attempts."""

    name: str
    fails: int = 0
    times: int = 1


@dataclass(frozen=True, slots=True)
class Nap:
    """A sleep."""

    name: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Seq:
    """One after another."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """All at once: ``gather``, or a ``TaskGroup``."""

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


Tree = Do | Nap | Seq | Together | First | Guarded


async def perform(tree: Tree, step: stepwell.Step) -> Any:
    """The function that a tree stands for."""
    match tree:
        case Do(name, fails, times):
            return [await step.run(name, body, name, index, fails) for index in range(times)]
        case Nap(name, duration_ms):
            return await step.sleep(name, duration_ms / 1_000)
        case Seq(parts):
            return [await perform(part, step) for part in parts]
        case Together(parts):
            return list(await asyncio.gather(*(perform(part, step) for part in parts)))
        case First(parts, cancels):
            tasks = [asyncio.create_task(perform(part, step)) for part in parts]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            winner = next(task for task in tasks if task.done())
            for task in tasks if cancels else ():
                task.cancel()
            return winner.result()
        case Guarded(part):
            try:
                return await perform(part, step)
            except stepwell.StepError:
                return "caught"


async def body(name: str, index: int, fails: int) -> str:
    """The body of every step."""
    call = IN_CALL.get()
    label = f"{name}:{index}" if index else name
    call.entered(hash_step_id(label), label)
    if call.request.ctx.attempt < fails:
        raise ValueError(f"{label} failed")
    return label.upper()


def expected(tree: Tree, max_attempts: int) -> Any:
    """What the function of a tree returns. Raises FailsError when it cannot return."""
    match tree:
        case Do(name, fails, times):
            if fails >= max_attempts:
                raise FailsError
            return [(f"{name}:{index}" if index else name).upper() for index in range(times)]
        case Nap():
            return None
        case Seq(parts) | Together(parts):
            return [expected(part, max_attempts) for part in parts]
        case First():
            return UNKNOWN
        case Guarded(part):
            try:
                return expected(part, max_attempts)
            except FailsError:
                return "caught"


def leaves(tree: Tree) -> Iterator[Do | Nap]:
    """The steps of a tree."""
    match tree:
        case Do() | Nap():
            yield tree
        case Guarded(part):
            yield from leaves(part)
        case Seq(parts) | Together(parts) | First(parts, _):
            for part in parts:
                yield from leaves(part)


class Closure:
    """A tree served by the real adapter."""

    def __init__(self, tree: Tree, slug: str, retries: int, now_ms: Callable[[], int]) -> None:
        self.tree = tree
        self._slug = slug
        app_id, _, function_id = slug.partition("-")
        app = stepwell.App(app_id, dev=True)

        @app.function(id=function_id, on="sim/go", retries=retries)
        async def run(ctx: stepwell.Context) -> Any:
            return await perform(tree, ctx.step)

        self._handler = Handler(app, dev=True, framework="sim", now_ms=now_ms)

    @property
    def naps_ms(self) -> int:
        """The time asleep, at most."""
        return sum(leaf.duration_ms for leaf in leaves(self.tree) if isinstance(leaf, Nap))

    @property
    def actions(self) -> int:
        """How many things may have to be tried again."""
        return 2 * sum(leaf.times if isinstance(leaf, Do) else 1 for leaf in leaves(self.tree)) + 1

    def expected(self, max_attempts: int) -> Any:
        """What a completed run returns. Raises FailsError when it cannot complete."""
        return expected(self.tree, max_attempts)

    async def answer(self, request: CallRequest, target: str, entered: Entered) -> HttpReply:
        """The adapter's reply to a call."""
        IN_CALL.set(InCall(request, entered))
        query = {"fnId": self._slug, "stepId": target}
        asked = HttpRequest("POST", "http://sim.test/api", query, {}, encode(request.encode()))
        answer = await self._handler.handle(asked)
        return HttpReply(answer.status, answer.headers, answer.body)


def draw_tree(chance: random.Random, max_attempts: int) -> Tree:
    """A random tree of up to about ten steps."""
    numbers = iter(range(1_000))
    return Seq(tuple(_draw(chance, numbers, max_attempts, 2) for _ in range(chance.randint(1, 3))))


def _draw(chance: random.Random, numbers: Iterator[int], max_attempts: int, depth: int) -> Tree:
    kind = chance.choice(("do", "do", "nap", "seq", "together", "first", "guarded") if depth else ("do", "do", "nap"))
    parts = [depth - 1] * chance.randint(2, 3)
    match kind:
        case "nap":
            return Nap(f"nap{next(numbers)}", chance.choice((1_000, 45_000, 900_000)))
        case "seq":
            return Seq(tuple(_draw(chance, numbers, max_attempts, less) for less in parts))
        case "together":
            return Together(tuple(_draw(chance, numbers, max_attempts, less) for less in parts))
        case "first":
            sure = tuple(_draw_sure(chance, numbers, max_attempts) for _ in parts)
            return First(sure, cancels=chance.random() < 0.5)
        case "guarded":
            return Guarded(_draw(chance, numbers, max_attempts, depth - 1))
        case _:
            fails = chance.choice((0, 0, 0, 0, 0, 1, 2, 99))
            return Do(f"do{next(numbers)}", fails, chance.choice((1, 1, 1, 3)))


def _draw_sure(chance: random.Random, numbers: Iterator[int], max_attempts: int) -> Tree:
    """What cannot fail for good: the winner of a race is anybody's guess."""
    if chance.random() < 0.3:
        return Nap(f"nap{next(numbers)}", chance.choice((1_000, 45_000)))
    return Do(f"do{next(numbers)}", min(chance.choice((0, 0, 1)), max_attempts - 1), chance.choice((1, 2)))
