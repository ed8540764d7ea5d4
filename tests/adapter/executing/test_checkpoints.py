"""A call that goes on: steps are executed one after another, each saved before the next begins."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from stepwell.errors import DefinitionError, StepError
from stepwell.executing.saving import Saver
from stepwell.wire.opcodes import Op
from stepwell.wire.reply import Failed, Finished
from tests.adapter.executing.saving import MAY_SAVE, Clock, Saves, carried_on, pace
from tests.adapter.executing.support import (
    RUN_ID,
    Fn,
    call,
    data,
    fail,
    failure,
    finish,
    give,
    io,
    ops,
    result,
    runtime,
)


async def five(ctx: Any) -> list[int]:
    return [await ctx.step.run(f"s{n}", give, n) for n in range(5)]


def five_plain(ctx: Any) -> list[int]:
    return [ctx.step.run(f"s{n}", give, n) for n in range(5)]


def by_itself(value: Any) -> Any:
    """A step body that is no coroutine."""
    return value


async def one(ctx: Any) -> int:
    return await ctx.step.run("a", give, 1)


both = pytest.mark.parametrize("handler", [five, five_plain])


async def saved_call(handler: Callable[[Any], Any], saves: Saves, **options: Any) -> Any:
    """One call of a function that may save."""
    changes = {"saver": saves.saver(), "now_ms": saves.clock.now_ms} | options.pop("runtime", {})
    function = Fn(handler, pace=options.pop("pace", pace()))
    target = options.pop("target", None)
    return await call(
        function, options.pop("memos", None), target=target, runtime=runtime(**changes), **(MAY_SAVE | options)
    )


@both
async def test_five_steps_are_one_call_and_four_saves(handler: Callable[[Any], Any]) -> None:
    """Each step is saved before the next begins, over one connection, and the last rides with the result."""
    saves = Saves()
    server = await carried_on(handler, saves)

    assert result(server.outcome) == [0, 1, 2, 3, 4]
    assert server.calls == ["discover"]
    assert saves.labels == [["s0"], ["s1"], ["s2"], ["s3"]]
    assert [opcode.op for opcode in server.replies[0].opcodes] == [Op.STEP_RUN, Op.RUN_COMPLETE]
    assert saves.connections == 1


async def test_a_run_of_one_step_needs_no_save() -> None:
    """The step and the result go in one reply, marked as protocol 9.1 has it."""
    saves = Saves()
    server = await carried_on(one, saves)

    (reply,) = server.replies
    assert (saves.sent, saves.connections) == ([], 0)
    assert [opcode.data for opcode in reply.opcodes] == [1, 1]
    assert reply.opcodes[1].id == "0737c22d3bfae812339732d14d8c7dbd6dc4e09c"


@both
async def test_a_step_begins_once_those_before_it_are_saved(handler: Callable[[Any], Any]) -> None:
    """When a body runs the server knows of every step before it."""
    saves, known = Saves(), []

    def body_of(step: Any, body: Any) -> Any:
        known.append((step.label, [name for names in saves.labels for name in names]))
        return body

    await carried_on(handler, saves, runtime={"body_of": body_of})

    names = [f"s{n}" for n in range(5)]
    assert known == [(name, names[:n]) for n, name in enumerate(names)]


async def test_a_checkpoint_says_what_the_call_request_said() -> None:
    """It names run, function, queue item, request and generation, and when the call and the save happened."""
    saves = Saves()
    await carried_on(five, saves)

    sent = saves.sent[0]
    assert (sent.run_id, sent.fn_id, sent.qi_id, sent.request_id) == (RUN_ID, "fn-1", "item-1", "call-1")
    assert (sent.generation_id, sent.request_started_at_ms, sent.ts_ms) == (1, saves.clock.at_ms, saves.clock.at_ms)


async def test_steps_begin_one_after_another_although_the_clock_stands() -> None:
    """A server may sort steps by when they began: no two of a call began at the same time."""
    saves = Saves()
    await carried_on(five, saves)

    began = [opcode.started_ns for checkpoint in saves.sent for opcode in checkpoint.steps]
    assert len(set(began)) == 4
    assert began == sorted(began)


@pytest.mark.parametrize(
    "told",
    [
        {"fn_id": ""},
        {"qi_id": ""},
        {"disable_immediate_execution": True},
        {"attempt": 1},
        {"target": "s0"},
        {"pace": None},
        {"runtime": {"saver": None}},
    ],
    ids=lambda told: next(iter(told)),
)
@both
async def test_a_call_that_may_not_go_on_ends_with_its_first_step(
    handler: Callable[[Any], Any], told: dict[str, Any]
) -> None:
    """Without the server's word, or its own, a call is what it always was, and a repeated call reports at once."""
    saves = Saves()
    outcome = await saved_call(handler, saves, **told)

    assert ops(outcome) == [("StepPlanned" if "disable_immediate_execution" in told else "StepRun", "s0")]
    assert saves.sent == []


async def test_steps_that_finished_before_are_replayed_first() -> None:
    """A call goes on where the journal ends."""
    saves = Saves()
    outcome = await saved_call(five, saves, memos={f"s{n}": data(n) for n in range(3)})

    assert saves.labels == [["s3"]]
    assert ops(outcome)[0] == ("StepRun", "s4")


async def sleeps(ctx: Any) -> str:
    await ctx.step.run("a", give, 1)
    await ctx.step.sleep("nap", "1s")
    return await ctx.step.run("b", give, "b")


def sleeps_plainly(ctx: Any) -> str:
    ctx.step.run("a", give, 1)
    ctx.step.sleep("nap", "1s")
    return ctx.step.run("b", give, "b")


@pytest.mark.parametrize("handler", [sleeps, sleeps_plainly])
async def test_what_ends_a_call_takes_the_last_step_along(handler: Callable[[Any], Any]) -> None:
    """A sleep after a step is reported together with the step: two calls, and nothing saved on the way."""
    saves = Saves()
    server = await carried_on(handler, saves)

    assert [ops(reply)[:2] for reply in server.replies] == [
        [("StepRun", "a"), ("Sleep", "nap")],
        [("StepRun", "b"), ("RunComplete", "None")],
    ]
    assert saves.sent == []


async def then_parallel(ctx: Any) -> Any:
    first = await ctx.step.run("a", give, 1)
    both = await asyncio.gather(ctx.step.run("p", give, 2), ctx.step.run("q", give, 3))
    return [first, *both, await ctx.step.run("z", give, 4), await ctx.step.run("zz", give, 5)]


def then_parallel_plainly(ctx: Any) -> Any:
    first = ctx.step.run("a", give, 1)
    both = ctx.step.parallel([lambda: ctx.step.run("p", give, 2), lambda: ctx.step.run("q", give, 3)])
    return [first, *both, ctx.step.run("z", give, 4), ctx.step.run("zz", give, 5)]


@pytest.mark.parametrize("handler", [then_parallel, then_parallel_plainly])
async def test_parallel_steps_are_planned_as_ever(handler: Callable[[Any], Any]) -> None:
    """Several new steps at once end the call; once they are done the next goes on again."""
    saves = Saves()
    server = await carried_on(handler, saves)

    assert result(server.outcome) == [1, 2, 3, 4, 5]
    assert server.calls == ["discover", "p", "q", "discover"]
    assert ops(server.replies[0]) == [("StepRun", "a"), ("StepPlanned", "p"), ("StepPlanned", "q")]
    assert saves.labels == [["z"]]


def one_branch_left(ctx: Any) -> Any:
    first = ctx.step.run("a", give, 1)
    [second] = ctx.step.parallel([lambda: ctx.step.run("p", give, 2)])
    return [first, second, ctx.step.run("z", give, 3)]


async def test_a_branch_of_parallel_ends_its_call() -> None:
    """Branches are unwound, so that nothing is there to go on with; the step rides with those before it."""
    saves = Saves()
    server = await carried_on(one_branch_left, saves)

    assert result(server.outcome) == [1, 2, 3]
    assert [ops(reply)[0] for reply in server.replies] == [("StepRun", "p"), ("StepRun", "z")]
    assert saves.labels == [["a"]]


async def stumbles(ctx: Any) -> str:
    await ctx.step.run("a", give, 1)
    try:
        await ctx.step.run("b", fail)
    except StepError:
        return await ctx.step.run("c", give, "mended")
    return "never"


def stumbles_plainly(ctx: Any) -> str:
    ctx.step.run("a", give, 1)
    try:
        ctx.step.run("b", fail)
    except StepError:
        return ctx.step.run("c", give, "mended")
    return "never"


@pytest.mark.parametrize("handler", [stumbles, stumbles_plainly])
async def test_a_step_that_fails_ends_the_call(handler: Callable[[Any], Any]) -> None:
    """Its failure is reported alone, is tried again as often as ever, and at last caught by the function."""
    saves = Saves()
    server = await carried_on(handler, saves)

    assert result(server.outcome) == "mended"
    assert [ops(reply)[0] for reply in server.replies] == [
        *[("StepError", "b")] * 4,
        ("StepFailed", "b"),
        ("StepRun", "c"),
    ]
    assert saves.labels == [["a"]]


async def test_an_error_of_the_function_waits_for_what_was_executed() -> None:
    """The steps are saved first, so that the next attempt starts behind them."""
    seen = []

    async def handler(ctx: Any) -> None:
        seen.append(await ctx.step.run("a", give, 1))
        seen.append(await ctx.step.run("b", give, 2))
        if len(seen) < 4:
            raise ValueError("not yet")

    saves = Saves()
    server = await carried_on(handler, saves)

    assert isinstance(server.replies[0], Failed)
    assert isinstance(server.replies[1], Finished)
    assert (saves.labels, server.calls) == ([["a"], ["b"]], ["discover", "discover"])


async def test_a_result_that_is_no_json_fails_behind_the_steps() -> None:
    """What was executed is saved before the function is failed for what it returned."""

    async def handler(ctx: Any) -> object:
        await ctx.step.run("a", give, 1)
        return object()

    saves = Saves()
    server = await carried_on(handler, saves)

    assert failure(server.outcome).error.code == "output_unserializable"
    assert saves.labels == [["a"]]


@dataclass
class Order:
    total: float
    tags: set[str]


async def order() -> Order:
    return Order(5.0, {"b", "a"})


async def mixed() -> Any:
    return {"z": 1.0, "a": [10.0, 2.5, 1e16], "é": ("t",)}


@pytest.mark.parametrize("body", [order, mixed])
@pytest.mark.parametrize("plain", [False, True])
async def test_a_live_value_is_the_replayed_one(body: Callable[[], Any], plain: bool) -> None:
    """The function cannot tell whether a result comes from this call or from the journal, not even by its keys."""
    seen: list[Any] = []

    async def handler(ctx: Any) -> None:
        seen.append(await ctx.step.run("a", body))
        await ctx.step.sleep("nap", 1)

    def handler_plain(ctx: Any) -> None:
        seen.append(ctx.step.run("a", body))
        ctx.step.sleep("nap", 1)

    saves = Saves()
    await carried_on(handler_plain if plain else handler, saves)

    live, replayed = seen
    assert repr(live) == repr(replayed)
    assert type(live) is type(replayed)


async def test_what_a_function_does_to_a_value_stays_with_it() -> None:
    """A result that is changed before it is saved is saved as the step gave it."""

    async def handler(ctx: Any) -> list[int]:
        values: list[int] = await ctx.step.run("a", give, [1])
        values.append(2)
        await ctx.step.run("b", give, 0)
        return values

    saves = Saves()
    server = await carried_on(handler, saves)

    assert saves.sent[0].steps[0].data == [1]
    assert result(server.outcome) == [1, 2]


async def test_a_step_inside_a_step_is_refused_still() -> None:
    """The body of a step may call no other, wherever in a call it runs."""

    async def handler(ctx: Any) -> None:
        async def body() -> None:
            await ctx.step.run("inner", give, 1)

        await ctx.step.run("a", give, 1)
        await ctx.step.run("outer", body)

    server = await carried_on(handler)

    assert server.replies[0].opcodes[0].error.name == DefinitionError.__name__


async def talks(ctx: Any) -> None:
    for n in range(3):
        ctx.logger.info("before %d", n)
        await ctx.step.run("a", give, n)
    await ctx.step.sleep("nap", 1)
    ctx.logger.info("end")


def talks_plainly(ctx: Any) -> None:
    for n in range(3):
        ctx.logger.info("before %d", n)
        ctx.step.run("a", give, n)
    ctx.step.sleep("nap", 1)
    ctx.logger.info("end")


@pytest.mark.parametrize("handler", [talks, talks_plainly])
@pytest.mark.parametrize("runtime_s", [1, 100])
async def test_a_line_is_logged_once(
    handler: Callable[[Any], Any], runtime_s: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines between steps are logged by the call that goes past them, also where the time is up after a step."""
    clock = Clock()

    def now_ms() -> int:
        clock.at_ms += 100
        return clock.at_ms

    with caplog.at_level(logging.INFO, logger="stepwell.function"):
        server = await carried_on(
            handler, Saves(clock=clock), pace=pace(max_runtime=f"{runtime_s}s"), runtime={"now_ms": now_ms}
        )

    assert [record.getMessage() for record in caplog.records] == ["before 0", "before 1", "before 2", "end"]
    assert (len(server.calls) > 2) == (runtime_s == 1)


async def test_a_thousand_steps_run_once_each() -> None:
    """A long loop is one call that asks for each step once: nothing is replayed from the top."""
    asked = []

    async def handler(ctx: Any) -> int:
        for n in range(1000):
            asked.append(n)
            await ctx.step.run("same", give, n)
        return len(asked)

    saves = Saves()
    server = await carried_on(handler, saves)

    assert result(server.outcome) == 1000
    assert (len(server.calls), len(saves.sent)) == (1, 999)


async def test_no_alarm_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    """Going on is no difference between replay and journal, behind memos or not."""
    with caplog.at_level(logging.WARNING):
        for handler in (five, five_plain):
            for count in range(6):
                await saved_call(handler, Saves(), memos={f"s{n}": data(n) for n in range(count)})
        for handler in (then_parallel, then_parallel_plainly, sleeps, stumbles):
            await carried_on(handler)

    assert caplog.records == []


async def test_a_new_step_where_the_journal_has_another_raises_the_alarm() -> None:
    """A function that changed is told of, and goes on as ever."""
    outcome = await saved_call(five, Saves(), memos={"old": data(1)})

    assert ops(outcome)[0] == ("StepRun", "s4")
    assert "the replay differs from the journal" in outcome.warnings[0]


async def test_a_function_busy_with_something_else_saves_first() -> None:
    """While it waits for anything but steps, what was executed is safe already."""
    saves, known = Saves(), []

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", give, 1)
        assert await asyncio.to_thread(saves.asked.wait, 30)
        known.extend(saves.labels)

    server = await carried_on(handler, saves)

    assert known == [["a"]]
    assert isinstance(server.replies[0], Finished)


async def test_a_busy_thread_saves_first() -> None:
    """A plain function that takes its time between steps finds them saved."""
    saves = Saves()

    def handler(ctx: Any) -> bool:
        ctx.step.run("a", give, 1)
        return saves.asked.wait(30)

    driven = await carried_on(handler, saves, runtime={"grace_s": 0})

    assert result(driven.outcome) is True
    assert saves.labels == [["a"]]


async def test_a_step_called_while_the_others_are_saved_is_seen() -> None:
    """What a branch asks for during a save is not overlooked."""
    saves = Saves()

    async def handler(ctx: Any) -> Any:
        first = await ctx.step.run("a", give, 1)
        started = asyncio.Event()

        async def branch() -> Any:
            started.set()
            await io(0.005)
            return await ctx.step.run("b", give, 2)

        return [first, await asyncio.create_task(branch())]

    server = Saves.save

    async def slowly(checkpoint: Any) -> int:
        await io(0.02)
        return await server(saves, checkpoint)

    saves.save = slowly  # type: ignore[method-assign]
    driven = await carried_on(handler, saves)

    assert result(driven.outcome) == [1, 2]
    assert len(driven.calls) == 1


async def test_a_function_is_unwound_at_the_step_it_waits_at() -> None:
    """When a call ends at a step the ``finally`` blocks of a plain function have run before its answer is given."""
    seen = []

    def handler(ctx: Any) -> None:
        try:
            ctx.step.run("a", give, 1)
            ctx.step.run("b", fail)
        finally:
            seen.append(threading.current_thread().name)

    outcome = await saved_call(handler, Saves())

    assert ops(outcome) == [("StepError", "b")]
    assert seen == ["stepwell-function"]


async def test_a_cancelled_call_lets_its_thread_go() -> None:
    """A plain function that waits at a step is unwound when its call is cancelled."""
    ended, begun = threading.Event(), asyncio.Event()

    async def body() -> None:
        begun.set()
        await asyncio.Event().wait()

    def handler(ctx: Any) -> None:
        try:
            ctx.step.run("a", body)
        finally:
            ended.set()

    calling = asyncio.ensure_future(saved_call(handler, Saves()))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling

    assert ended.is_set()


async def test_more_plain_functions_wait_than_the_loop_has_threads() -> None:
    """Functions that wait at a step take no thread that a step body needs."""
    gate = asyncio.Barrier(40)

    async def together() -> None:
        await gate.wait()

    def handler(ctx: Any) -> int:
        ctx.step.run("a", together)
        return ctx.step.run("b", by_itself, 2)

    outcomes = await asyncio.gather(*(saved_call(handler, Saves()) for _ in range(40)))

    assert {outcome.opcodes[-1].data for outcome in outcomes} == {2}


async def test_results_ride_together_only_while_they_are_small() -> None:
    """A reply is never longer for going on: what would not fit is saved first."""
    half = "x" * 600_000

    async def handler(ctx: Any) -> str:
        await ctx.step.run("a", give, half)
        await ctx.step.run("b", give, half)
        return half

    saves = Saves()
    server = await carried_on(handler, saves, pace=pace(buffered_steps=10))

    assert saves.labels == [["a"], ["b"]]
    assert [opcode.op for opcode in server.replies[0].opcodes] == [Op.RUN_COMPLETE]


async def test_a_saver_serves_many_calls() -> None:
    """Each call has a connection of its own, opened by its first save."""
    saves = Saves()
    saver: Saver = saves.saver()
    for handler in (five, five_plain, one):
        await saved_call(handler, saves, runtime={"saver": saver})

    assert saves.connections == 2


async def test_checkpoints_change_the_calls_and_nothing_else() -> None:
    """The server ends up with the same journal as without them."""
    with_them, without = await carried_on(five), await finish(five)

    assert with_them.outcome == without.outcome
    assert list(without.memos.items())[:4] == list(with_them.memos.items())[:4]
    assert (len(with_them.calls), len(without.calls)) == (1, 6)
