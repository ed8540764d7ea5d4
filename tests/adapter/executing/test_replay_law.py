"""Laws of replay, over a corpus of functions and shuffled orders of completion."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from stepwell.wire.memo import value_memo
from stepwell.wire.opcodes import Op
from stepwell.wire.reply import Finished
from tests.adapter.executing.corpus import ORDERLY, RACES
from tests.adapter.executing.support import Fn, Item, Server, finish, only, result

EVERYTHING = ORDERLY + RACES
SEEDS = (None, 1, 2, 3)

every_function = pytest.mark.parametrize("handler", EVERYTHING, ids=lambda handler: handler.__name__)
every_order = pytest.mark.parametrize("seed", SEEDS)


@every_function
@every_order
async def test_the_whole_journal_gives_the_result_again(handler: Callable[[Any], Any], seed: int | None) -> None:
    """A replay with every step finished returns what the run returned."""
    server = await finish(handler, seed=seed)

    assert await server.call(Item("discover")) == server.outcome
    assert isinstance(server.outcome, Finished)


@every_function
@every_order
async def test_each_step_is_found_again_from_the_steps_before_it(
    handler: Callable[[Any], Any], seed: int | None
) -> None:
    """Every finished step is reached, with the same result, by a call that has only the steps finished before it."""
    server = await finish(handler, seed=seed)

    for position, hashed in enumerate(server.stack):
        opcode = only(await server.call(Item("step", hashed), finished=position))
        assert opcode.id == hashed
        if opcode.op is Op.STEP_RUN:
            assert value_memo(opcode.data) == server.memos[hashed]


@every_function
@every_order
async def test_a_deterministic_function_raises_no_alarm(
    handler: Callable[[Any], Any], seed: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """No replay of a run, with any prefix of its journal, is reported as differing from it."""
    with caplog.at_level(logging.WARNING):
        server = await finish(handler, seed=seed)
        for finished in range(len(server.stack) + 1):
            await server.call(Item("discover"), finished=finished)

    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("handler", ORDERLY, ids=lambda handler: handler.__name__)
async def test_without_a_race_the_order_of_completion_does_not_matter(handler: Callable[[Any], Any]) -> None:
    """A function that joins all of its steps returns the same whatever finishes first."""
    results = [result((await finish(handler, seed=seed)).outcome) for seed in range(6)]

    assert results == [results[0]] * len(results)


@every_function
async def test_the_same_call_twice_has_the_same_outcome(handler: Callable[[Any], Any]) -> None:
    """Two discoveries with the same memos ask for the same."""
    server = await finish(handler, seed=7)
    for finished in range(len(server.stack) + 1):
        again = Server(Fn(handler), memos=server.memos, stack=server.stack)
        assert await again.call(Item("discover"), finished) == await again.call(Item("discover"), finished)
