"""Saves that fail, and calls whose time is up: nothing is lost and nothing is done twice."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stepwell.errors import DefinitionError, StepError
from stepwell.executing.saving import PAUSE_MS, Saver
from stepwell.wire.opcodes import Op
from stepwell.wire.reply import Failed, Finished
from tests.adapter.executing.saving import LOST, Clock, Saves, carried_on, pace
from tests.adapter.executing.support import failure, give, io, never, ops, result

DOWN = ConnectionError("connection refused")


class Counted:
    """Five steps, as a coroutine or in a thread, whose bodies count how often they ran."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()

    def body(self, name: str) -> str:
        self.ran[name] += 1
        return name

    async def flowing(self, ctx: Any) -> list[str]:
        return [await ctx.step.run(f"s{n}", self.body, f"s{n}") for n in range(5)]

    def threaded(self, ctx: Any) -> list[str]:
        return [ctx.step.run(f"s{n}", self.body, f"s{n}") for n in range(5)]


NAMES = [f"s{n}" for n in range(5)]

both = pytest.mark.parametrize("kind", ["flowing", "threaded"])
unsaved_ways = pytest.mark.parametrize(
    ("answers", "tries", "slept"),
    [
        ([DOWN] * 4, 4, [199, 299, 499]),
        ([500, 503, 502, 500], 4, [199, 299, 499]),
        ([429, DOWN, 500, 408], 4, [199, 299, 499]),
        ([RuntimeError("the engine broke")] * 4, 4, [199, 299, 499]),
        ([404], 1, []),
        ([405], 1, []),
        ([400], 1, []),
        ([401], 1, []),
        ([403], 1, []),
    ],
    ids=["down", "500s", "mixed", "broken", "404", "405", "400", "401", "403"],
)


@unsaved_ways
@both
async def test_what_cannot_be_saved_is_reported(kind: str, answers: list[Any], tries: int, slept: list[int]) -> None:
    """After a few attempts, or one that is no use repeating, the step goes in the reply, and the run goes on."""
    counted, saves = Counted(), Saves(answers=list(answers))
    server = await carried_on(getattr(counted, kind), saves)

    assert result(server.outcome) == NAMES
    assert counted.ran == Counter(NAMES)
    assert ops(server.replies[0]) == [("StepRun", "s0")]
    assert (len(saves.sent), saves.clock.slept) == (tries, slept)
    assert len(server.calls) == 6


@both
@pytest.mark.parametrize("answers", [[500], [DOWN, 500, 500], [LOST], [LOST, LOST, LOST]])
async def test_a_save_is_repeated(kind: str, answers: list[Any]) -> None:
    """A failure that passes, or an answer that is lost, costs a repeat and nothing else."""
    counted, saves = Counted(), Saves(answers=list(answers))
    server = await carried_on(getattr(counted, kind), saves)

    assert result(server.outcome) == NAMES
    assert counted.ran == Counter(NAMES)
    assert server.history[:4] == NAMES[:4]
    assert (len(server.calls), len(saves.sent)) == (1, 4 + len(answers))


async def test_answers_that_stay_lost_double_nothing() -> None:
    """A step that the server has taken and is told of again is one step."""
    counted, saves = Counted(), Saves(answers=[LOST] * 4)
    server = await carried_on(counted.flowing, saves)

    assert result(server.outcome) == NAMES
    assert counted.ran == Counter(NAMES)
    assert ops(server.replies[0]) == [("StepRun", "s0")]


async def test_after_a_failure_no_call_saves_for_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A server without the endpoint is asked once a minute, and complained of once, with what to do."""
    saves = Saves(otherwise=404)
    saver: Saver = saves.saver()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await carried_on(Counted().flowing, saves, runtime={"saver": saver})
        assert len(saves.sent) == 1
        saves.clock.at_ms += PAUSE_MS
        await carried_on(Counted().flowing, saves, runtime={"saver": saver})

    assert len(saves.sent) == 2
    [record] = caplog.records
    assert "HTTP 404" in record.getMessage()
    assert "STEPWELL_CHECKPOINT=0" in record.getMessage()


async def test_saving_comes_back_with_the_server() -> None:
    """After the minute calls go on again, and the next failure is told of anew."""
    saves = Saves(answers=[404])
    saver: Saver = saves.saver()
    await carried_on(Counted().flowing, saves, runtime={"saver": saver})
    saves.clock.at_ms += PAUSE_MS
    server = await carried_on(Counted().flowing, saves, runtime={"saver": saver})

    assert len(server.calls) == 1
    assert len(saves.sent) == 5


@both
async def test_a_superseded_call_stops_at_once(kind: str) -> None:
    """The answer 409 ends the call with an error that nobody retries, before another body begins."""
    counted, saves = Counted(), Saves(answers=[200, 409])
    server = await carried_on(getattr(counted, kind), saves)

    failed = failure(server.outcome)
    assert (failed.error.code, failed.no_retry) == ("superseded", True)
    assert 'function "app-fn": this call was superseded' in failed.error.message
    assert counted.ran == Counter(NAMES[:2])
    assert len(saves.sent) == 2


async def test_a_busy_function_is_stopped_when_it_is_superseded() -> None:
    """A save while the function waits for something else ends the call too, and what it waited for."""
    seen = []

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", give, 1)
        try:
            await never()
        finally:
            seen.append("stopped")

    server = await carried_on(handler, Saves(answers=[409]))

    assert failure(server.outcome).error.code == "superseded"
    assert seen == ["stopped"]


async def test_a_step_that_is_too_large_is_reported_for_the_server_to_judge() -> None:
    """The answer 413 is about this step: it goes in the reply, and other calls go on saving."""
    counted, saves = Counted(), Saves(answers=[413])
    server = await carried_on(counted.flowing, saves)

    assert ops(server.replies[0]) == [("StepRun", "s0")]
    assert result(server.outcome) == NAMES
    assert (len(server.calls), saves.clock.slept) == (2, [])


async def test_an_error_waits_for_steps_that_cannot_be_saved() -> None:
    """When they could not be saved the steps are reported, and the error comes with the next call."""

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", give, 1)
        raise StepError("broken")

    server = await carried_on(handler, Saves(otherwise=500))

    assert ops(server.replies[0]) == [("StepRun", "a")]
    assert isinstance(server.outcome, Failed)
    assert server.outcome.error.code == "step_errored"
    assert len(server.calls) == 2


async def test_a_missing_server_is_a_save_that_failed() -> None:
    """An app that knows no server executes its steps one a call, and says what is missing."""

    @asynccontextmanager
    async def nowhere() -> Any:
        async def save(_: Any) -> int:
            raise DefinitionError("no server is configured")

        yield save

    clock = Clock()
    saver = Saver(nowhere, clock.now_ms, clock.sleep_ms, jitter_ms=lambda bound_ms: 0)
    server = await carried_on(Counted().flowing, runtime={"saver": saver})

    assert (result(server.outcome), len(server.calls), clock.slept) == (NAMES, 6, [])


# ---- buffered


@pytest.mark.parametrize(
    ("buffered", "batches"),
    [(1, [[0], [1], [2], [3]]), (2, [[0, 1], [2, 3]]), (3, [[0, 1, 2]]), (5, []), (100, [])],
)
@both
async def test_buffered_steps_are_saved_together(kind: str, buffered: int, batches: list[list[int]]) -> None:
    """As many steps as were asked for go in one save, and what is left over rides with the result."""
    counted, saves = Counted(), Saves()
    server = await carried_on(getattr(counted, kind), saves, pace=pace(buffered_steps=buffered))

    assert saves.labels == [[f"s{n}" for n in batch] for batch in batches]
    assert result(server.outcome) == NAMES
    assert len(server.calls) == 1


async def test_a_step_that_fails_has_those_before_it_saved() -> None:
    """A failure is reported alone: what was buffered is saved first."""

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", give, 1)
        await ctx.step.run("b", give, 2)
        await ctx.step.run("c", _refuse)

    saves = Saves()
    server = await carried_on(handler, saves, pace=pace(buffered_steps=10))

    assert saves.labels == [["a", "b"]]
    assert ops(server.replies[0]) == [("StepError", "c")]


async def test_when_they_cannot_be_saved_the_failure_is_left_out() -> None:
    """Buffered steps that cannot be saved are reported instead of the failure, which the next call meets again."""

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", give, 1)
        await ctx.step.run("b", give, 2)
        await ctx.step.run("c", _refuse)

    server = await carried_on(handler, Saves(otherwise=404), pace=pace(buffered_steps=10))

    assert [ops(reply) for reply in server.replies[:2]] == [[("StepRun", "a"), ("StepRun", "b")], [("StepError", "c")]]


async def _refuse() -> None:
    raise ValueError("no")


async def test_buffered_steps_are_saved_after_the_interval() -> None:
    """With an interval a step is not held longer than that, whatever the next one takes."""
    saves, seen = Saves(), []
    saved = asyncio.Event()

    async def sleep_ms(delay_ms: int) -> None:
        await slow.wait()
        slow.clear()
        saves.clock.at_ms += delay_ms

    server = Saves.save

    async def save(checkpoint: Any) -> int:
        status = await server(saves, checkpoint)
        saved.set()
        return status

    async def long() -> None:
        slow.set()
        await saved.wait()
        seen.extend(saves.labels)

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", give, 1)
        await ctx.step.run("b", long)

    slow = asyncio.Event()
    saves.save = save  # type: ignore[method-assign]
    saver = saves.saver()
    saver.sleep_ms = sleep_ms
    await carried_on(handler, saves, pace=pace(buffered_steps=9, max_interval="3s"), runtime={"saver": saver})

    assert seen == [["a"]]
    assert saves.labels == [["a"]]


@pytest.mark.parametrize(("answer", "expected"), [(409, "superseded"), (404, "StepRun")])
async def test_a_save_that_fails_in_the_background_ends_the_call(answer: int, expected: str) -> None:
    """What the interval met is looked at before the next step begins."""
    saves, begun, asked = Saves(otherwise=answer), asyncio.Event(), asyncio.Event()

    async def sleep_ms(delay_ms: int) -> None:
        await begun.wait()
        saves.clock.at_ms += delay_ms
        asked.set()

    async def long() -> None:
        begun.set()
        await asked.wait()
        await io()

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", give, 1)
        await ctx.step.run("b", long)
        await ctx.step.run("c", counted.body, "c")

    counted, saver = Counted(), saves.saver()
    saver.sleep_ms = sleep_ms
    server = await carried_on(handler, saves, pace=pace(buffered_steps=3, max_interval="3s"), runtime={"saver": saver})

    assert counted.ran["c"] == (0 if answer == 409 else 1)
    first = server.replies[0]
    if isinstance(first, Failed):
        assert first.error.code == expected
    else:
        assert ops(first) == [(expected, "a"), (expected, "b")]
        assert server.outcome == Finished(None)


# ---- time


def timed(clock: Clock, *lengths_ms: int) -> tuple[Callable[[Any], Any], Counter[str]]:
    """A function with a step for each of ``lengths_ms``, and how often each ran."""
    ran: Counter[str] = Counter()

    async def body(name: str, length_ms: int) -> str:
        ran[name] += 1
        clock.at_ms += length_ms
        return name

    async def handler(ctx: Any) -> list[str]:
        return [await ctx.step.run(f"s{n}", body, f"s{n}", length) for n, length in enumerate(lengths_ms)]

    return handler, ran


@pytest.mark.parametrize(
    ("lengths", "calls"),
    [
        ([100] * 5, 1),
        ([900, 900, 900], 2),
        ([5_000, 1, 1], 2),
        ([5_000] * 3, 4),
    ],
)
async def test_a_call_ends_when_its_time_is_up(lengths: list[int], calls: int) -> None:
    """After a step the call is over when it has taken longer than it may; the step rides, and is done once."""
    clock = Clock()
    handler, ran = timed(clock, *lengths)
    server = await carried_on(handler, Saves(clock=clock), pace=pace(max_runtime="1s"))

    assert len(server.calls) == calls
    assert set(ran.values()) == {1}
    assert isinstance(server.outcome, Finished)


async def test_no_step_begins_that_may_not_end_in_time() -> None:
    """A step that would pass the deadline of its call, were it as long as the longest, is left to the next call."""
    clock = Clock()
    handler, ran = timed(clock, 400, 10, 10)
    saves = Saves(clock=clock)
    server = await carried_on(handler, saves, runtime={"ends_at_ms": clock.at_ms + 900})

    assert ops(server.replies[0])[-1][0] == "RunComplete"
    clock = Clock()
    handler, ran = timed(clock, 400, 400, 10)
    server = await carried_on(handler, Saves(clock=clock), runtime={"ends_at_ms": clock.at_ms + 900})

    assert ops(server.replies[0]) == [("StepRun", "s1")]
    assert set(ran.values()) == {1}


async def test_a_step_too_late_to_begin_is_planned_when_nothing_else_is_to_be_said() -> None:
    """When the function itself took the time, and its steps are saved, the next step is planned."""
    clock = Clock()

    async def handler(ctx: Any) -> str:
        await ctx.step.run("a", give, 1)
        await io()
        clock.at_ms += 60_000
        return await ctx.step.run("b", give, "b")

    server = await carried_on(handler, Saves(clock=clock))

    assert ops(server.replies[0]) == [("StepPlanned", "b")]
    assert result(server.outcome) == "b"


async def test_steps_executed_too_late_are_handed_back() -> None:
    """When the function itself took the time before its steps were saved, they are what is reported."""
    clock = Clock()

    async def handler(ctx: Any) -> str:
        await ctx.step.run("a", give, 1)
        clock.at_ms += 60_000
        return await ctx.step.run("b", give, "b")

    server = await carried_on(handler, Saves(clock=clock), pace=pace(buffered_steps=2))

    assert ops(server.replies[0]) == [("StepRun", "a")]
    assert result(server.outcome) == "b"


async def test_a_slow_save_does_not_pass_the_deadline() -> None:
    """A save that would take what is left of a call is given up, and the step reported in time."""
    saves = Saves()

    async def never(checkpoint: Any) -> int:
        await asyncio.Event().wait()
        return 200

    saves.save = never  # type: ignore[method-assign]
    counted = Counted()
    server = await carried_on(
        counted.flowing,
        saves,
        runtime={"ends_at_ms": saves.clock.at_ms + 1, "timeout": lambda delay_s: asyncio.timeout(0)},
    )

    assert ops(server.replies[0]) == [("StepRun", "s0")]
    assert counted.ran == Counter(NAMES)
    assert [opcode.op for opcode in server.replies[0].opcodes] == [Op.STEP_RUN]
