"""What one call answers: tables of (function, memos) -> exact outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from stepwell.errors import StepError, StepwellWarning
from stepwell.executing.execution import execute
from stepwell.steps.calls import StepOptions
from stepwell.values.event import Event
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import Finished, Instructions
from tests.adapter.executing import corpus
from tests.adapter.executing.support import (
    NOW_MS,
    Fn,
    call,
    data,
    error,
    failure,
    finish,
    give,
    io,
    modes,
    only,
    ops,
    request,
    result,
    runtime,
    seeded_ids,
)


async def two_steps(ctx: Any) -> Any:
    return [await ctx.step.run("a", give, 1), await ctx.step.run("b", give, 2)]


async def mixed(ctx: Any) -> Any:
    return await asyncio.gather(ctx.step.run("a", give, 1), ctx.step.sleep("nap", "1h"))


async def no_steps(ctx: Any) -> Any:
    return {"n": ctx.event.data["n"]}


PLANNED = "StepPlanned"
NEVER_AWAITED = (
    'function "app-fn": step "forgotten" was never awaited, and was dropped when the function ended: '
    "write await before the call"
)
LEFT_BEHIND = (
    'function "app-fn": step "background" was dropped with the task that waits for it: '
    "await the task before the function returns"
)


@pytest.mark.parametrize(
    ("handler", "memos", "expected"),
    [
        (two_steps, {}, [("StepRun", "a")]),
        (two_steps, {"a": data(1)}, [("StepRun", "b")]),
        (mixed, {}, [(PLANNED, "a"), ("Sleep", "nap")]),
        (mixed, {"nap": None}, [("StepRun", "a")]),
        (mixed, {"a": data(1)}, [("Sleep", "nap")]),
        (corpus.loop, {"same": data(0), "same:1": data(1)}, [("StepRun", "same:2")]),
        (corpus.task_group, {}, [(PLANNED, "a"), (PLANNED, "b"), (PLANNED, "c"), (PLANNED, "inside")]),
        (corpus.await_later, {}, [(PLANNED, "first"), (PLANNED, "second"), (PLANNED, "third")]),
        (corpus.tasks_ahead, {}, [(PLANNED, "own"), (PLANNED, "b1")]),
        (corpus.spins, {}, [("StepRun", "spin")]),
        (corpus.waits_outside, {}, [(PLANNED, "p1"), (PLANNED, "q1")]),
        (corpus.waits_outside, {"q1": data("q")}, [(PLANNED, "p1"), (PLANNED, "q2")]),
        (corpus.semaphore, {}, [(PLANNED, "s0"), (PLANNED, "s1")]),
        (corpus.semaphore, {"s1": data(1)}, [(PLANNED, "s0"), (PLANNED, "s2")]),
        (corpus.hand_over, {}, [("StepRun", "make")]),
        (corpus.shielded, {}, [("StepRun", "kept")]),
        (corpus.timed, {}, [(PLANNED, "timed"), ("Sleep", "asyncio.wait_for in timed")]),
        (corpus.as_they_come, {}, [(PLANNED, "a"), (PLANNED, "b"), (PLANNED, "c")]),
        (corpus.as_they_come, {"b": data("b")}, [(PLANNED, "a"), (PLANNED, "c"), (PLANNED, "then-b")]),
        (corpus.plain, {}, [("StepRun", "a")]),
        (corpus.plain, {"a": data(1)}, [("Sleep", "nap")]),
        (corpus.plain_parallel, {}, [(PLANNED, "a"), (PLANNED, "b"), (PLANNED, "c")]),
        (corpus.plain_branches, {"p1": data("p")}, [(PLANNED, "p2"), (PLANNED, "n1"), (PLANNED, "m1")]),
    ],
)
async def test_a_discovery_reports_every_new_step(
    handler: Callable[[Any], Any], memos: Mapping[str, Any], expected: list[tuple[str, str]]
) -> None:
    """A lone runnable step is executed in place; otherwise all new steps are reported in the order of their calls."""
    assert ops(await call(handler, memos)) == expected


async def test_a_function_without_steps_finishes_at_once() -> None:
    """The result is the reply when there is nothing to report."""
    assert await call(no_steps) == Finished({"n": 1})


async def test_a_lone_step_is_planned_when_execution_is_disabled() -> None:
    """Under disable_immediate_execution a discovery executes nothing (protocol 5.6)."""
    ran = []

    async def handler(ctx: Any) -> None:
        await ctx.step.run("a", ran.append, 1)

    outcome = await call(handler, disable_immediate_execution=True)

    assert (ops(outcome), ran) == ([("StepPlanned", "a")], [])


@pytest.mark.parametrize(
    ("handler", "requests"),
    [
        (corpus.sequence, 4),
        (corpus.loop, 5),
        (corpus.gathered, 4 + 3),
        (corpus.plain_parallel, 3 + 3),
    ],
)
async def test_call_requests_are_counted(handler: Callable[[Any], Any], requests: int) -> None:
    """A sequence takes a request a step and one more; n joined steps and one after them take n + 3 (protocol 5.6)."""
    assert len((await finish(handler)).calls) == requests


async def test_a_targeted_call_runs_its_step_alone() -> None:
    """The body of the target runs, no other does, and nothing else is reported."""
    ran = []

    async def handler(ctx: Any) -> None:
        await asyncio.gather(*(ctx.step.run(name, ran.append, name) for name in "abc"))

    outcome = await call(handler, target="b")

    assert (ops(outcome), ran) == ([("StepRun", "b")], ["b"])


async def test_a_targeted_wait_is_reported() -> None:
    """A target that the server handles itself is reported, not executed."""
    assert ops(await call(mixed, target="nap")) == [("Sleep", "nap")]


async def test_a_targeted_call_ignores_the_ban_on_execution() -> None:
    """Targeting a step means executing it."""
    assert ops(await call(mixed, target="a", disable_immediate_execution=True)) == [("StepRun", "a")]


async def test_a_finished_target_is_left_alone() -> None:
    """A duplicate delivery runs no body and asks for nothing (protocol 5.7)."""
    called = []

    async def handler(ctx: Any) -> None:
        called.append(ctx)

    assert await call(handler, {"a": data(1)}, target="a") == Instructions(())
    assert called == []


@pytest.mark.parametrize("handler", [two_steps, corpus.plain, no_steps])
async def test_a_missing_target_is_a_retriable_failure(handler: Callable[[Any], Any]) -> None:
    """A target the function does not reach fails the call, whatever the function did instead (protocol 5.7)."""
    failed = failure(await call(handler, target="other"))

    assert (failed.error.name, failed.no_retry) == ("StepNotFound", False)
    assert hash_step_id("other") in failed.error.message


async def test_a_missing_target_names_what_was_found() -> None:
    """The failure lists the steps that the replay did reach."""
    assert 'steps found: "a", "nap"' in failure(await call(mixed, target="other")).error.message


async def test_a_target_is_run_although_the_race_is_over() -> None:
    """A planned step that lost meanwhile still finishes: its call answers with the step."""
    outcome = await call(corpus.first_of_two, {"a": data("a")}, target="b")

    assert ops(outcome) == [("StepRun", "b")]


async def test_the_opcode_of_a_run_is_complete() -> None:
    """A StepRun names the step for machines and for people, carries its data and when it ran."""
    ticks = iter([1_000, 1_250])

    async def handler(ctx: Any) -> None:
        await ctx.step.run(StepOptions("a", name="Charge the card"), give, {"ok": True})

    opcode = only(await call(handler, runtime=runtime(now_ms=lambda: next(ticks))))

    assert opcode == Opcode(
        op=Op.STEP_RUN,
        id=hash_step_id("a"),
        name="a",
        display_name="Charge the card",
        data={"ok": True},
        user_id="a",
        started_ns=1_000_000_000,
        duration_ns=250_000_000,
    )


@pytest.mark.parametrize(
    ("duration", "text"), [("30s", "30s"), (90, "1m30s"), (0.5, "500ms"), ("1h30m", "1h30m"), (0, "0s")]
)
async def test_a_sleep_says_how_long_in_both_places(duration: Any, text: str) -> None:
    """The duration is in the name, for older servers, and in the options (protocol 5.4)."""

    async def handler(ctx: Any) -> None:
        await ctx.step.sleep("nap", duration)

    opcode = only(await call(handler))

    assert (opcode.op, opcode.name, opcode.opts, opcode.display_name) == (Op.SLEEP, text, {"duration": text}, "nap")


@pytest.mark.parametrize("when", ["2023-11-14T22:13:21Z", "2023-11-14T23:13:21+01:00"])
async def test_a_sleep_until_names_the_instant(when: str) -> None:
    """The instant is absolute, in UTC, whatever zone it was given in."""

    async def handler(ctx: Any) -> None:
        await ctx.step.sleep_until("nap", when)

    opcode = only(await call(handler))

    assert opcode.name == opcode.opts["duration"] == "2023-11-14T22:13:21.000Z"


async def test_an_override_replaces_the_arguments_of_a_step() -> None:
    """A step with an input memo has not finished and runs with those arguments (protocol 4.3)."""
    outcome = await call(two_steps, {"a": {"input": ["other"]}}, stack=[])

    assert (ops(outcome), only(outcome).data) == ([("StepRun", "a")], "other")


async def test_send_event_sends_the_same_ids_again() -> None:
    """A repeated send_event derives the same seed from run and step, and is marked as a send (protocol 3.4, 5.4)."""
    sent: list[Any] = []

    async def send(events: Any, seed: Any) -> list[str]:
        sent.append((events, seed))
        return await seeded_ids(events, seed)

    async def handler(ctx: Any) -> Any:
        events = [Event(name="mail/send", data={"to": name}) for name in "ab"]
        return await ctx.step.send_event("fan", events)

    first = only(await call(handler, runtime=runtime(send=send)))
    second = only(await call(handler, runtime=runtime(send=send), attempt=1))

    assert first.data == second.data
    assert len(set(first.data)) == 2
    assert sent[0] == sent[1]
    assert sent[0][0] == [{"name": "mail/send", "data": {"to": "a"}}, {"name": "mail/send", "data": {"to": "b"}}]
    assert first.opts == {"type": "step.sendEvent"}
    assert result(await call(handler, {"fan": data(first.data)})) == first.data


async def test_a_single_event_may_be_sent() -> None:
    """send_event takes one event as well as several."""

    async def handler(ctx: Any) -> Any:
        return await ctx.step.send_event("one", Event(name="mail/send"))

    assert len(only(await call(handler)).data) == 1


async def test_what_nobody_awaits_ends_with_the_function() -> None:
    """A function that returns has ended; steps that it never awaited, and tasks that nobody awaits, are dropped."""

    async def handler(ctx: Any) -> str:
        ctx.step.run("forgotten", give, 1)
        asyncio.create_task(ctx.step.run("background", give, 2))  # noqa: RUF006 - dropping it is the point
        await asyncio.sleep(0)
        return "done"

    with pytest.warns(StepwellWarning) as told:
        assert result(await call(handler)) == "done"

    assert [str(warning.message).partition(" (")[0] for warning in told] == [
        NEVER_AWAITED,
        LEFT_BEHIND,
    ]
    assert {warning.filename for warning in told} == {__file__}


async def test_the_loser_of_a_race_does_not_hold_the_result_back() -> None:
    """A step the function waited for and no longer needs is not reported again once the function has returned."""
    memos = {"a": data("a"), "after-a": data("a")}

    assert result(await call(corpus.first_of_two, memos)) == ["a", "a"]


async def test_a_cancelled_step_is_no_longer_reported() -> None:
    """Cancelling the task that waits for a step gives the step up."""
    memos = {"b1": data("b"), "b2": data("b")}

    assert ops(await call(corpus.first_of_chains, memos, from_stepwell=True)) == [("StepRun", "after")]


async def test_a_task_cancelled_before_it_began_gives_its_step_up() -> None:
    """The step of a task that never ran is not reported."""

    async def handler(ctx: Any) -> None:
        asyncio.create_task(ctx.step.run("dropped", give)).cancel()
        await ctx.step.run("kept", give, 1)

    assert ops(await call(handler)) == [("StepRun", "kept")]


@pytest.mark.parametrize(
    ("memos", "winner"),
    [
        ({"a": data("a"), "b": data("b")}, "a"),
        ({"b": data("b"), "a": data("a")}, "b"),
        ({"a": data("a")}, "a"),
        ({"b": data("b")}, "b"),
    ],
)
async def test_a_race_is_won_by_what_finished_first(memos: Mapping[str, Any], winner: str) -> None:
    """Memos are given out in the order of the stack, one at a time (protocol 4.10)."""
    assert ("StepPlanned" if len(memos) == 1 else "StepRun", f"after-{winner}") in ops(
        await call(corpus.first_of_two, memos, from_stepwell=True)
    )


async def test_a_race_decided_while_a_branch_was_outside_is_decided_alike() -> None:
    """A memo waits for its step to be asked for, though the branch is busy with something that is no step."""

    async def handler(ctx: Any) -> Any:
        async def slow() -> str:
            await io()
            return str(await ctx.step.run("slow", give, "slow"))

        racers = [asyncio.ensure_future(slow()), asyncio.ensure_future(ctx.step.run("quick", give, "quick"))]
        done, _ = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        return [racer.result() for racer in racers if racer in done]

    assert result(await call(handler, {"slow": data("slow"), "quick": data("quick")})) == ["slow"]
    assert result(await call(handler, {"quick": data("quick"), "slow": data("slow")})) == ["quick"]


async def test_a_lock_may_be_released_from_outside(caplog: pytest.LogCaptureFixture) -> None:
    """A branch that waits for an event the world sets is waited for when its step was the next to finish."""

    async def handler(ctx: Any) -> Any:
        async def branch() -> str:
            arrived = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, loop.call_soon_threadsafe, arrived.set)
            await arrived.wait()
            return str(await ctx.step.run("b", give, "b"))

        racers = [asyncio.ensure_future(branch()), asyncio.ensure_future(ctx.step.run("a", give, "a"))]
        done, _ = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        return sorted(racer.result() for racer in done)

    assert result(await call(handler, {"b": data("b"), "a": data("a")})) == ["b"]
    assert result(await call(handler, {"a": data("a"), "b": data("b")})) == ["a"]
    assert caplog.records == []


async def test_a_background_task_comes_to_rest_before_the_next_memo() -> None:
    """A task nobody awaits gets as far after a memo as it did at first, so that repeated ids keep their numbers."""

    async def handler(ctx: Any) -> Any:
        async def branch() -> Any:
            await ctx.step.run("b", give, 1)
            for _ in range(5):
                await asyncio.sleep(0)
            return await ctx.step.run("same", give, "branch")

        task = asyncio.create_task(branch())
        await ctx.step.run("own", give, 1)
        return [await ctx.step.run("same", give, "own"), await task]

    memos = {"b": data(1), "own": data(1)}

    assert only(await call(handler, memos, target="same")).data == "branch"
    assert only(await call(handler, memos, target="same:1")).data == "own"


@pytest.mark.parametrize("later", [{}, {"other": data(1)}])
async def test_a_failure_reaches_the_function_before_later_memos(later: Mapping[str, Any]) -> None:
    """What else finished after a gather failed is still unfinished when the function handles the failure."""

    async def handler(ctx: Any) -> Any:
        other = asyncio.ensure_future(ctx.step.run("other", give, 1))
        try:
            await asyncio.gather(ctx.step.run("bad", give), other)
        except StepError:
            return other.done()

    assert result(await call(handler, {"bad": error("no"), **later})) is False


async def test_memos_outside_the_stack_come_last() -> None:
    """A memo that the stack does not list is used once the stacked ones are."""
    memos = {"a": data("a"), "b": data("b")}

    assert ops(await call(corpus.first_of_two, memos, stack=["b"], from_stepwell=True)) == [("StepRun", "after-b")]


async def test_memoised_bodies_do_not_run() -> None:
    """A finished step is never executed again."""
    ran = []

    async def handler(ctx: Any) -> Any:
        return await ctx.step.run("a", ran.append, 1)

    assert (result(await call(handler, {"a": data("kept")})), ran) == ("kept", [])


async def test_a_failed_step_raises_where_it_is_awaited() -> None:
    """A memoised failure is raised as a StepError with the original name and message, and can be caught."""
    outcome = await call(corpus.caught, {"bad": error("declined", "CardError")})

    assert ops(outcome) == [("StepRun", "recover")]
    assert result(await call(corpus.caught, {"bad": error("declined"), "recover": data(1)})) == ["declined", 1]


async def test_a_batch_is_in_ctx_events() -> None:
    """All events of the batch are there, and ctx.event is the first."""

    async def handler(ctx: Any) -> Any:
        return [ctx.event.data["n"], [event.data["n"] for event in ctx.events]]

    wire = [{"name": "a/b", "data": {"n": number}, "ts": NOW_MS} for number in (5, 6)]
    batch = replace(request(event=wire[0]), events=wire)

    assert await execute(Fn(handler), batch, target=None, runtime=runtime()) == Finished([5, [5, 6]])


@pytest.mark.parametrize(("max_attempts", "expected"), [(3, [1, 3]), (None, [1, 5])])
async def test_the_context_knows_the_attempt(max_attempts: int | None, expected: list[int]) -> None:
    """The attempts are the server's, or the function's own number when an old server does not say."""

    async def handler(ctx: Any) -> Any:
        return [ctx.attempt, ctx.max_attempts]

    assert result(await call(handler, attempt=1, max_attempts=max_attempts)) == expected


async def test_a_gathered_step_that_another_task_awaits_is_a_race() -> None:
    """A step somebody else listens to may let the function go on before the rest of its group."""

    async def handler(ctx: Any) -> None:
        async def listen() -> None:
            await first
            await ctx.step.run("sooner", give, 1)

        first = ctx.step.run("a", give, 1)
        listener = asyncio.create_task(listen())
        await asyncio.gather(first, ctx.step.run("b", give, 2))
        await listener

    assert modes(await call(handler)) == {"race"}


async def test_modes_of_the_corpus() -> None:
    """A joined group is left to the server to join; what may go on earlier is marked as a race (protocol 5.6)."""
    table = {
        corpus.gathered: {None},
        corpus.nested_gather: {None},
        corpus.chains: {"race"},
        corpus.task_group: {"race"},
        corpus.await_later: {"race"},
        corpus.first_of_two: {"race"},
        corpus.plain_parallel: {None},
        corpus.plain_branches: {"race"},
    }

    assert {handler: modes(await call(handler)) for handler in table} == table
