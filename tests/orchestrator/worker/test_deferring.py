"""Functions that a run defers start when it ends: once, whatever its end, and whatever comes between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Opcode, decode_opcodes
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from tests.orchestrator.worker.harness import DEFERRED, LATER, SLUG, Script, World, complete, defer_add
from tests.orchestrator.worker.saving import Answer, Call, Program, Programmed, Saver

EVENT = "inngest/deferred.schedule"
KEY = f"defer:{hash_step_id('later')}"
SLEEP = {"op": "Sleep", "id": hash_step_id("nap"), "name": "nap", "opts": {"duration": "1h"}}
ERROR = {"name": "ValueError", "message": "broken"}


def defer_abort(name: str) -> dict[str, Any]:
    """The opcode that takes a deferred function back."""
    opts = {"fn_slug": LATER, "target_hashed_id": hash_step_id(name), "id": name}
    return {"op": "DeferAbort", "id": hash_step_id(f"{hash_step_id(name)}:abort"), "name": name, "opts": opts}


def opcode(raw: dict[str, Any]) -> Opcode:
    """The same, as a checkpoint has it."""
    [decoded] = decode_opcodes(raw)
    return decoded


async def world_of(program: Program, **options: Any) -> tuple[World, Programmed]:
    """A world whose function runs a program, with an event sent, and a function that may be deferred."""
    script = Programmed(program)
    world = World(script, others={LATER: Script([], triggers=(DEFERRED,))}, **options)
    script.saver = Saver(world)
    await world.register()
    await world.send()
    return world, script


async def deferred_data(world: World) -> list[Any]:
    """What the deferred runs were started with; each has an event of its own."""
    events = {event.internal_id: event for event in await world.events_named(EVENT)}
    data = [dict(events.pop(header.event_ids[0]).data) for header in await world.headers(LATER)]
    assert not events, "an event started nothing"
    for one in data:
        del one["_inngest"]
    return data


async def in_the_last_reply(call: Call) -> Answer:
    """Defer, and return."""
    return 206, [defer_add("later", {"n": 1}), complete(None)]


async def beside_a_step(call: Call) -> Answer:
    """Defer in the body of a step, or between two."""
    if call.has("a"):
        return 200, None
    return 206, [call.run("a").encode(), defer_add("later", {"n": 1})]


async def by_a_checkpoint(call: Call) -> Answer:
    """Save a step and what is deferred while the call goes on."""
    assert await call.save(call.run("a"), opcode(defer_add("later", {"n": 1}))) == 200
    return 206, [complete(None)]


async def by_a_checkpoint_without_steps(call: Call) -> Answer:
    """Save nothing but what is deferred."""
    assert await call.save(opcode(defer_add("later", {"n": 1}))) == 200
    return 206, [complete(None)]


async def by_itself(call: Call) -> Answer:
    """Report nothing but what is deferred: the function is called again."""
    return (200, None) if call.request.defers else (206, [defer_add("later", {"n": 1})])


WAYS = [in_the_last_reply, beside_a_step, by_a_checkpoint, by_a_checkpoint_without_steps, by_itself]


@pytest.mark.parametrize("program", WAYS)
async def test_it_starts_when_its_run_ends(program: Program) -> None:
    """However it was deferred, its event comes with the end and says whose it is; it is no step of the run."""
    world, _ = await world_of(program)
    await world.run_to_end()
    run = await world.run()
    assert run.header.outcome is not None
    [event] = await world.events_named(EVENT)
    internal = {
        "fn_slug": LATER,
        "parent_app_id": "shop",
        "parent_fn_id": SLUG,
        "parent_fn_slug": SLUG,
        "parent_run_id": run.header.run_id,
    }
    assert (event.data, event.ts_ms) == ({"n": 1, "_inngest": internal}, run.header.outcome.ended_at_ms)
    assert [header.status for header in await world.headers(LATER)] == [RunStatus.COMPLETED]
    assert KEY not in run.steps


async def end_completed(call: Call) -> Answer:
    return 200, None


async def end_failed(call: Call) -> Answer:
    return 400, ERROR


async def end_refused(call: Call) -> Answer:
    return 206, [{**SLEEP, "opts": {"duration": "whenever"}}, defer_add("too", {"n": 2})]


async def end_cancelled(call: Call) -> Answer:
    return 206, [SLEEP]


ENDS = [
    (end_completed, RunStatus.COMPLETED, [{"n": 1}]),
    (end_failed, RunStatus.FAILED, [{"n": 1}]),
    (end_refused, RunStatus.FAILED, [{"n": 1}, {"n": 2}]),
    (end_cancelled, RunStatus.CANCELLED, [{"n": 1}]),
]


@pytest.mark.parametrize(("end", "status", "expected"), ENDS)
async def test_any_end_starts_it(end: Program, status: RunStatus, expected: list[Any]) -> None:
    """A run that completes, fails, is refused its reply or is cancelled starts what it deferred, and not before."""

    async def program(call: Call) -> Answer:
        if call.number == 1:
            return 206, [call.run("a").encode(), defer_add("later", {"n": 1})]
        assert await world.events_named(EVENT) == []
        return await end(call)

    world, _ = await world_of(program, retries=0)
    await world.settle()
    if status is RunStatus.CANCELLED:
        assert await world.events_named(EVENT) == []
        await world.backend.queue.send([items.cancel((await world.run()).header.run_id, world.clock.now_ms()).item])
    await world.run_to_end()
    assert (await world.run()).header.status is status
    assert sorted(await deferred_data(world), key=str) == expected


async def test_a_retry_adds_no_second_one() -> None:
    """The next attempt is told what was deferred; when it defers the same again, the first attempt's data stands."""

    async def program(call: Call) -> Answer:
        assert await call.save(opcode(defer_add("later", {"attempt": call.request.ctx.attempt}))) == 200
        return (500, ERROR) if call.number == 1 else (206, [defer_add("later", {"attempt": 9}), complete(None)])

    world, script = await world_of(program)
    await world.run_to_end()
    assert [request.defers for request in script.requests] == [{}, {hash_step_id("later"): True}]
    assert await deferred_data(world) == [{"attempt": 0}]


async def test_what_a_reply_aborts_does_not_start() -> None:
    """An abort in a later reply takes it back; deferring it once more changes nothing."""

    async def program(call: Call) -> Answer:
        replies: list[list[Any]] = [
            [call.run("a").encode(), defer_add("later", {})],
            [call.run("b").encode(), defer_abort("later")],
            [defer_abort("later"), defer_add("later", {}), complete(None)],
        ]
        return 206, replies[call.number - 1]

    world, script = await world_of(program)
    await world.run_to_end()
    later = hash_step_id("later")
    assert [request.defers for request in script.requests] == [{}, {later: True}, {later: False}]
    assert await deferred_data(world) == []


async def test_what_a_checkpoint_aborts_does_not_start() -> None:
    """An abort by a checkpoint takes back what an earlier one, or the same, deferred; one of nothing does nothing."""

    async def program(call: Call) -> Answer:
        assert await call.save(opcode(defer_add("later", {}))) == 200
        assert await call.save(opcode(defer_abort("later")), opcode(defer_abort("nothing"))) == 200
        both = opcode(defer_add("other", {})), opcode(defer_abort("other"))
        assert await call.save(*both) == 200
        assert await call.save(*both) == 200
        return 206, [complete(None)]

    world, _ = await world_of(program)
    await world.run_to_end()
    assert await deferred_data(world) == []


async def test_added_and_aborted_in_one_reply_it_does_not_start() -> None:
    """One reply may have both: the journal gets one entry."""

    async def program(call: Call) -> Answer:
        return 206, [defer_add("later", {}), defer_abort("later"), complete(None)]

    world, _ = await world_of(program)
    await world.run_to_end()
    assert (await world.run()).entries.keys() == {KEY}
    assert await deferred_data(world) == []


async def test_a_step_may_have_the_same_id() -> None:
    """SDKs hash the names of steps and of what is deferred alike: neither takes the other's place."""

    async def program(call: Call) -> Answer:
        if call.has("later"):
            return 200, None
        return 206, [call.run("later").encode(), defer_add("later", {"n": 1})]

    world, _ = await world_of(program)
    await world.run_to_end()
    assert (await world.run()).entries.keys() == {hash_step_id("later"), KEY}
    assert await deferred_data(world) == [{"n": 1}]


async def test_the_functions_own_error_beside_a_deferral_is_asked_for_again() -> None:
    """An SDK reports what it deferred with an error under the id of the return, like a step's: the next call fails."""

    async def program(call: Call) -> Answer:
        if call.request.defers:
            return 400, ERROR
        return 206, [defer_add("later", {"n": 1}), {"op": "StepFailed", "id": hash_step_id("complete"), "error": ERROR}]

    world, script = await world_of(program, retries=0)
    await world.run_to_end()
    assert script.calls == [("step", 0), ("step", 0)]
    assert (await world.run()).header.status is RunStatus.FAILED
    assert await deferred_data(world) == [{"n": 1}]


async def test_the_functions_own_error_beside_a_deferral_is_an_attempt() -> None:
    """One that may be tried again is the function's first attempt: it is called for its second."""

    async def program(call: Call) -> Answer:
        if call.request.defers:
            return 200, None
        return 206, [defer_add("later", {"n": 1}), {"op": "StepError", "id": hash_step_id("complete"), "error": ERROR}]

    world, script = await world_of(program)
    await world.run_to_end()
    assert script.calls == [("step", 0), ("step", 1)]
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert await deferred_data(world) == [{"n": 1}]


async def test_what_a_step_defers_while_its_function_returns_is_not_lost() -> None:
    """A step that nobody waits for defers while the driver is calling: the end is told from the journal."""
    driven, stepped = asyncio.Event(), asyncio.Event()

    class Racing(Script):
        async def answer(self, request: Any, target: str) -> Answer:
            if target == "step" and not request.ctx.disable_immediate_execution:
                return 206, [
                    {"op": "StepPlanned", "id": hash_step_id("slow"), "name": "slow", "opts": {}},
                    {
                        "op": "StepPlanned",
                        "id": hash_step_id("quick"),
                        "name": "quick",
                        "opts": {"parallelMode": "race"},
                    },
                ]
            if target == hash_step_id("quick"):
                return 206, [
                    {"op": "StepRun", "id": target, "name": "quick", "data": 1, "opts": {"parallelMode": "race"}}
                ]
            if target == hash_step_id("slow"):
                await driven.wait()
                return 206, [{"op": "StepRun", "id": target, "name": "slow", "data": 1}, defer_add("later", {"n": 1})]
            driven.set()
            await stepped.wait()
            return 200, None

    world = World(Racing([]), others={LATER: Script([], triggers=(DEFERRED,))})
    await world.register()
    await world.send()
    journal = world.backend.journal

    class Watched:
        """The journal; after a step's deferral nothing more comes of its worker, and the driver goes on."""

        def __getattr__(self, name: str) -> Any:
            return getattr(journal, name)

        async def commit(self, run_id: str, writes: Any, **options: Any) -> bool:
            freed = await journal.commit(run_id, writes, **options)
            if options["term"] is None and any(
                getattr(write, "entry", None) and not write.entry.is_step for write in writes
            ):
                stepped.set()
                await asyncio.Event().wait()
            return freed

    world.worker = world.new_worker(Watched(), world.backend.queue)
    working = asyncio.create_task(world.settle())
    async with asyncio.timeout(60):
        while not await world.events_named(EVENT):  # noqa: ASYNC110 (a store sets no event)
            await asyncio.sleep(0)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert len(await world.events_named(EVENT)) == 1


async def test_what_was_aborted_while_a_step_fails_its_run_does_not_start() -> None:
    """The call for one step aborts, the call for another one then ends the run: its worker had read the deferral."""
    loaded = asyncio.Event()

    class Twins(Script):
        async def answer(self, request: Any, target: str) -> Answer:
            if target == "step":
                return await super().answer(request, target)
            if target == hash_step_id("aborts"):
                await loaded.wait()
                return 206, [{"op": "StepRun", "id": target, "name": "aborts", "data": 1}, defer_abort("later")]
            loaded.set()
            async with asyncio.timeout(60):
                while not await is_aborted():  # noqa: ASYNC110 (a store sets no event)
                    await asyncio.sleep(0)
            return 400, ERROR

    async def is_aborted() -> bool:
        return (await world.run()).entries[KEY].status is StepStatus.DROPPED

    script = Twins([["aborts", "fails"]], defers={"later": {}})
    world = World(script, others={LATER: Script([], triggers=(DEFERRED,))}, retries=0)
    await world.register()
    await world.send()
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.FAILED
    assert await deferred_data(world) == []


async def test_a_deferral_that_another_call_reported_costs_no_result() -> None:
    """Two steps that are executed at once defer the same: both results are kept, and the first one's deferral."""
    both = asyncio.Barrier(2)

    class Twins(Script):
        async def answer(self, request: Any, target: str) -> Answer:
            if target == "step":
                return await super().answer(request, target)
            await both.wait()
            self.bodies[target] += 1
            run = {"op": "StepRun", "id": target, "name": target, "data": 1}
            return 206, [run, defer_add("later", {"n": 1})]

    script = Twins([["p", "q"]])
    world = World(script, others={LATER: Script([], triggers=(DEFERRED,))})
    await world.register()
    await world.send()
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.COMPLETED
    assert script.bodies == {hash_step_id("p"): 1, hash_step_id("q"): 1}
    assert await deferred_data(world) == [{"n": 1}]


async def test_a_deferral_that_is_stored_after_a_cancellation_is_refused() -> None:
    """A store may keep it all the same; whoever saved it is not told that it will start."""

    class Late:
        """A journal in which every commit comes just after a cancellation, and is kept."""

        def __init__(self, world: World) -> None:
            self._world = world

        def __getattr__(self, name: str) -> Any:
            return getattr(self._world.backend.journal, name)

        async def commit(self, run_id: str, writes: Any, **options: Any) -> bool:
            await self._world.worker.handle(items.cancel(run_id, self._world.clock.now_ms()).item, 1)
            return False

    async def program(call: Call) -> Answer:
        call.saver.checkpointer._journal = Late(world)  # type: ignore[assignment]
        statuses.append(await call.save(opcode(defer_add("later", {}))))
        return 400, ERROR

    statuses: list[int] = []
    world, _ = await world_of(program)
    await world.run_to_end()
    assert statuses == [409]
    assert (await world.run()).header.status is RunStatus.CANCELLED


BAD = [
    ({"fn_slug": ""}, "names no function"),
    ({"input": [1]}, "must be an object"),
    ({"meta": 1}, "meta must be an object"),
    ({"meta": {"sessions": {"a": True}}}, 'event session "a" must be a string, number, or null'),
]


@pytest.mark.parametrize(("opts", "message"), BAD)
async def test_what_cannot_be_deferred_is_refused(opts: dict[str, Any], message: str) -> None:
    """A checkpoint with it is refused, a reply fails the run; both say what is wrong."""

    async def program(call: Call) -> Answer:
        assert await call.save(opcode(defer_add("later", {}, **opts))) == 400
        return 206, [defer_add("later", {}, **opts), complete(None)]

    world, _ = await world_of(program)
    await world.run_to_end()
    outcome = (await world.run()).header.outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error["name"] == "InvalidDefer"
    assert message in outcome.error["message"]
    assert await deferred_data(world) == []


async def test_sessions_reach_it() -> None:
    """It inherits the sessions that the SDK propagates, and has those that it was deferred with."""
    meta = {"sessions": {"extra": 1, "chat": None}, "propagated_sessions": {"user": "u1", "chat": "c1"}}

    async def program(call: Call) -> Answer:
        return 206, [defer_add("later", {}, meta=meta), complete(None)]

    world, _ = await world_of(program)
    await world.run_to_end()
    [event] = await world.events_named(EVENT)
    assert event.meta == {"sessions": {"user": "u1", "extra": "1"}}
