"""Checkpoints change how many calls a run takes, and nothing that its function or its journal can show."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.errors import StepError
from stepwell.wire.reply import Failed, Finished, Outcome
from tests.adapter.executing.corpus import ORDERLY, RACES
from tests.adapter.executing.saving import LOST, Saves, carried_on, pace
from tests.adapter.executing.support import finish, io


@pytest.mark.parametrize("handler", ORDERLY, ids=lambda handler: handler.__name__)
@pytest.mark.parametrize("buffered", [1, 3])
async def test_functions_of_every_shape_end_alike(
    handler: Callable[[Any], Any], buffered: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A function that races nothing has the same end and the same steps, in no more calls, without an alarm."""
    without = await finish(handler)
    with caplog.at_level(logging.WARNING):
        with_them = await carried_on(handler, pace=pace(buffered_steps=buffered))

    assert with_them.outcome == without.outcome
    assert len(with_them.calls) <= len(without.calls)
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("handler", RACES, ids=lambda handler: handler.__name__)
async def test_races_end(handler: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    """A race may be won by another, and is replayed as it was won."""
    with caplog.at_level(logging.WARNING):
        server = await carried_on(handler)

    assert isinstance(server.outcome, Finished)
    assert [record.getMessage() for record in caplog.records] == []


@dataclass(frozen=True)
class Leaf:
    """A step: one that fails for good after ``failures`` attempts, a sleep, or work outside steps."""

    kind: str
    failures: int = 0


@dataclass(frozen=True)
class Node:
    """Parts one after another, together, or with their failure caught."""

    kind: str
    parts: tuple[Any, ...]


leaf_trees = st.one_of(
    st.builds(Leaf, st.just("run"), st.sampled_from([0, 0, 0, 0, 1, 9])),
    st.builds(Leaf, st.sampled_from(["sleep", "busy", "plain"])),
)
trees = st.recursive(
    leaf_trees,
    lambda parts: st.builds(
        Node, st.sampled_from(["sequence", "sequence", "together", "caught"]), st.lists(parts, max_size=4).map(tuple)
    ),
    max_leaves=12,
)
answers = st.lists(st.sampled_from([200, 200, 200, 500, 404, 413, LOST, ConnectionError("no")]), max_size=12)


class Grown:
    """The function of a tree, with how often each body ended well."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.ended: Counter[str] = Counter()

    async def flowing(self, ctx: Any) -> Any:
        return await self._perform(self.tree, ctx, "r")

    async def _perform(self, tree: Any, ctx: Any, name: str) -> Any:
        match tree:
            case Leaf("run", failures):
                return await ctx.step.run(name, self._body, name, failures, ctx.attempt)
            case Leaf("plain"):
                return await ctx.step.run(name, self._done, name)
            case Leaf("sleep"):
                return await ctx.step.sleep(name, 1)
            case Leaf():
                return await io(0)
            case Node("together", parts):
                return await asyncio.gather(*(self._perform(part, ctx, f"{name}{n}") for n, part in enumerate(parts)))
            case Node(kind, parts):
                try:
                    return [await self._perform(part, ctx, f"{name}{n}") for n, part in enumerate(parts)]
                except StepError:
                    if kind == "caught":
                        return "caught"
                    raise

    def threaded(self, ctx: Any) -> Any:
        return self._perform_plainly(self.tree, ctx, "r")

    def _perform_plainly(self, tree: Any, ctx: Any, name: str) -> Any:
        match tree:
            case Leaf("run", failures):
                return ctx.step.run(name, self._body, name, failures, ctx.attempt)
            case Leaf("plain"):
                return ctx.step.run(name, self._done, name)
            case Leaf("sleep"):
                return ctx.step.sleep(name, 1)
            case Leaf():
                return None
            case Node("together", parts):
                return ctx.step.parallel(
                    [
                        lambda part=part, n=n: self._perform_plainly(part, ctx, f"{name}{n}")
                        for n, part in enumerate(parts)
                    ]
                )
            case Node(kind, parts):
                try:
                    return [self._perform_plainly(part, ctx, f"{name}{n}") for n, part in enumerate(parts)]
                except StepError:
                    if kind == "caught":
                        return "caught"
                    raise

    async def _body(self, name: str, failures: int, attempt: int) -> str:
        if attempt < failures:
            raise ValueError(name)
        return self._done(name)

    def _done(self, name: str) -> str:
        self.ended[name] += 1
        return name


def told(outcome: Outcome | None) -> Any:
    """What a run ended with, but for where in the code an error was raised."""
    return (outcome.error.name, outcome.error.message) if isinstance(outcome, Failed) else outcome


@given(trees, answers, st.integers(1, 4))
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("kind", ["flowing", "threaded"])
def test_any_function_ends_alike_whatever_becomes_of_its_saves(
    kind: str, tree: Any, answers: Sequence[Any], buffered: int
) -> None:
    """Whatever a function does, and however its saves fare, it ends as it does without them, each body ending once."""
    plain, saved = Grown(tree), Grown(tree)
    without = asyncio.run(finish(getattr(plain, kind)))
    saves = Saves(answers=list(answers))
    with_them = asyncio.run(carried_on(getattr(saved, kind), saves, pace=pace(buffered_steps=buffered)))

    assert told(with_them.outcome) == told(without.outcome)
    assert set(saved.ended.values()) <= {1}
    if isinstance(without.outcome, Finished):
        assert saved.ended == plain.ended
        assert set(without.memos) == set(with_them.memos)
