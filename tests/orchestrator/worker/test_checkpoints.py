"""Steps saved while a call goes on: what they save, and what a driver and a saver may do to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.engine.journal.stack import stack_of
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.model.notice import NoticeKind
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.ports import CallError, Ports
from stepwell_orchestrator.worker import Worker
from tests.orchestrator.worker.harness import ScriptInvoker, World
from tests.orchestrator.worker.saving import (
    SUPERSEDED,
    Answer,
    Call,
    Programmed,
    begin,
    complete,
    sequence,
    take_over,
    world_of,
)

ABC = ("a", "b", "c")


class CountingJournal:
    """Counts what is asked of a journal."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal
        self.counts: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)

        async def counted(*args: Any, **options: Any) -> Any:
            self.counts[name] = self.counts.get(name, 0) + 1
            return await method(*args, **options)

        return counted


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks run until something holds; fails when it does not come to that."""
    # How many passes of the loop a thread takes is anybody's guess; the time is against hanging.
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 (a condition sets no event)
            await asyncio.sleep(0)


async def output_of(world: World) -> Any:
    """What the only run returned."""
    run = await world.run()
    assert run.header.outcome is not None
    assert run.header.status is RunStatus.COMPLETED, run.header.outcome
    return run.header.outcome.output


async def test_a_sequence_is_one_call() -> None:
    """Each step is saved once, in order, before the next begins, and told of; the run ends with that call's reply."""
    names = [f"step-{number}" for number in range(10)]
    world, script = await world_of(sequence(names))
    await world.run_to_end()
    assert await output_of(world) == {"done": 10}
    assert len(script.calls) == 1
    assert script.saver is not None
    assert script.saver.statuses == [200] * 10
    assert set(script.bodies.values()) == {1}
    assert stack_of(await world.run()) == tuple(hash_step_id(name) for name in names)
    told = [notice.subject for notice in world.notices if notice.kind is NoticeKind.STEP_COMPLETED]
    assert told == names


async def test_steps_that_begin_in_one_tick_keep_their_order() -> None:
    """Where the SDK's clock cannot tell steps apart, the order in which they were saved does."""
    names = [f"step-{number}" for number in range(20)]

    async def program(call: Call) -> Answer:
        for name in names:
            assert (
                await call.save(replace(call.run(name), started_ns=call.saver.world.clock.now_ms() * 1_000_000)) == 200
            )
        return 206, [complete(None)]

    world, _ = await world_of(program)
    await world.run_to_end()
    assert stack_of(await world.run()) == tuple(hash_step_id(name) for name in names)


@pytest.mark.parametrize("count", [10, 100])
async def test_a_run_is_read_twice_however_many_steps_it_saves(count: int) -> None:
    """Once to begin, once when the reply comes; a save reads the header and writes the entry."""
    world, script = await world_of(sequence([f"step-{number}" for number in range(count)]))
    journal = CountingJournal(world.backend.journal)
    assert script.saver is not None
    saves = script.saver.checkpointer._journal = CountingJournal(world.backend.journal)
    world.worker = world.new_worker(journal, world.backend.queue)
    await world.run_to_end()
    assert (journal.counts["run_of"], journal.counts["load"]) == (1, 1)
    assert saves.counts == {"get_header": count, "wake": 1, "commit": count}


async def test_a_call_that_saves_nothing_is_not_read_again() -> None:
    """A run whose function returns each step costs no load more than before there were checkpoints."""

    async def program(call: Call) -> Answer:
        missing = next((name for name in ABC if not call.has(name)), None)
        return (200, "done") if missing is None else (206, [call.run(missing).encode()])

    world, _ = await world_of(program)
    journal = CountingJournal(world.backend.journal)
    world.worker = world.new_worker(journal, world.backend.queue)
    await world.run_to_end()
    assert await output_of(world) == "done"
    assert (journal.counts["run_of"], journal.counts.get("load")) == (1, None)


@pytest.mark.parametrize("broken_from", [1, 2, 3])
async def test_an_endpoint_that_is_down_loses_and_repeats_nothing(broken_from: int) -> None:
    """Steps that cannot be saved come with the reply, and the function is called for the next one."""
    world, script = await world_of(sequence(ABC))
    assert script.saver is not None
    script.saver.refuse = lambda attempt: 500 if attempt >= broken_from else None
    await world.run_to_end()
    assert await output_of(world) == {"done": 3}
    assert script.bodies == {"a": 1, "b": 1, "c": 1}
    assert len(script.calls) == 1 + 3 - (broken_from - 1)
    assert {attempt for _, attempt in script.calls} == {0}
    assert stack_of(await world.run()) == tuple(map(hash_step_id, ABC))


async def test_a_save_whose_answer_is_lost_may_be_repeated() -> None:
    """The same result again changes nothing, whether it is saved again or reported with the reply."""

    async def program(call: Call) -> Answer:
        if call.has("a"):
            return 200, "done"
        opcode = call.run("a")
        assert [await call.save(opcode), await call.save(opcode)] == [200, 200]
        return 206, [opcode.encode()]

    world, script = await world_of(program)
    await world.run_to_end()
    assert await output_of(world) == "done"
    assert (script.bodies, len(script.calls)) == ({"a": 1}, 2)
    assert [notice.subject for notice in world.notices if notice.kind is NoticeKind.STEP_COMPLETED] == ["a"]


async def test_a_crash_after_a_save_resumes_after_it() -> None:
    """A driver and its app die between two saves: the next call has what was saved, and its first attempt."""

    async def die(call: Call, name: str) -> None:
        if call.number == 1 and name == "c":
            await script.gates.stop_at("died")

    world, script = await world_of(sequence(ABC, before=die))
    await take_over(world, await begin(world, script, "died"))
    assert await output_of(world) == {"done": 3}
    assert script.bodies == {"a": 1, "b": 1, "c": 1}
    assert [request.ctx.stack for request in script.requests] == [(), (hash_step_id("a"), hash_step_id("b"))]


class LateJournal:
    """A journal as DynamoDB is: entries are stored whatever has become of run and term; here, when a gate is opened."""

    def __init__(self, world: World, script: Programmed) -> None:
        self._journal = world.backend.journal
        self._gates = script.gates

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def commit(self, run_id: str, writes: Any, **lease: Any) -> bool:
        await self._gates.stop_at("committing")
        return await self._journal.commit(run_id, writes, term=None)


def contested(script_of: dict[str, Programmed]) -> Any:
    """Steps a, b and c; the first call commits b late, and the second waits before it saves b."""

    async def program(call: Call) -> Answer:
        script = script_of["it"]
        for name in ABC:
            if call.has(name):
                continue
            opcode = call.run(name, f"{name} of call {call.number}")
            if name == "b" and call.number == 1:
                call.saver.checkpointer._journal = LateJournal(call.saver.world, script)  # type: ignore[assignment]
            elif name == "b" and call.number == 2:
                await script.gates.stop_at("second")
            status = await call.save(opcode)
            script.gates.reached[f"{name} of call {call.number}: {status}"].set()
            if status != 200:
                return SUPERSEDED
        return 206, [complete(call.number)]

    return program


async def contest() -> tuple[World, Programmed, asyncio.Task[Any]]:
    """Two calls that have both executed b, the first one's driver dead, and neither having saved it."""
    script_of: dict[str, Programmed] = {}
    world, script = await world_of(contested(script_of), retries=0)
    script_of["it"] = script
    dead = await begin(world, script, "committing")
    assert script.saver is not None
    script.saver.checkpointer._journal = world.backend.journal
    taking = asyncio.create_task(take_over(world, dead))
    await script.gates.reached["second"].wait()
    return world, script, taking


async def test_a_stale_call_saves_first_and_the_current_one_is_made_again() -> None:
    """The current call is refused its result; its failure does not count, and the next call goes on from the first."""
    world, script, taking = await contest()
    script.gates.opened["committing"].set()
    await script.gates.reached["b of call 1: 200"].wait()
    script.gates.opened["second"].set()
    await taking
    assert await output_of(world) == 3
    run = await world.run()
    assert run.entries[hash_step_id("b")].memo == {"data": "b of call 1"}
    assert run.entries[hash_step_id("c")].memo == {"data": "c of call 3"}
    assert script.saver is not None
    assert sorted(script.saver.statuses) == [200, 200, 200, 409, 409]
    assert script.calls[-1] == ("step", 0)


async def test_the_current_call_saves_first_and_the_stale_one_is_refused() -> None:
    """The result of the current call stands, and the stale call is told to stop."""
    world, script, taking = await contest()
    script.gates.opened["second"].set()
    await taking
    assert await output_of(world) == 2
    script.gates.opened["committing"].set()
    await script.gates.reached["b of call 1: 409"].wait()
    assert (await world.run()).entries[hash_step_id("b")].memo == {"data": "b of call 2"}
    assert script.bodies == {"a": 1, "b": 2, "c": 1}


async def test_a_stale_call_is_refused_once_another_one_is_under_way() -> None:
    """From the takeover on, nothing that the old call executes is saved."""

    async def stop(call: Call, name: str) -> None:
        if name == "b":
            await script.gates.stop_at(f"call {call.number}")

    world, script = await world_of(sequence(ABC, before=stop))
    dead = await begin(world, script, "call 1")
    taking = asyncio.create_task(take_over(world, dead))
    await script.gates.reached["call 2"].wait()
    script.gates.opened["call 1"].set()
    assert script.saver is not None
    await until(lambda: script.saver is not None and len(script.saver.statuses) == 2)
    assert script.saver.statuses == [200, 409]
    script.gates.opened["call 2"].set()
    await taking
    assert await output_of(world) == {"done": 3}


async def test_what_a_call_saves_after_it_was_given_up_counts_for_its_driver() -> None:
    """A call whose connection broke goes on beside its retry in the same term: one result, and no failure by that."""
    script_of: dict[str, Programmed] = {}

    async def program(call: Call) -> Answer:
        script = script_of["it"]
        for name in ABC:
            if call.has(name):
                continue
            opcode = call.run(name, f"{name} of call {call.number}")
            await script.gates.stop_at(f"{name} of call {call.number}")
            if await call.save(opcode) != 200:
                return SUPERSEDED
        return 206, [complete(call.number)]

    world, script = await world_of(program, retries=1)
    script_of["it"] = script

    class Breaking(ScriptInvoker):
        async def call(self, url: str, headers: Any, body: bytes) -> Any:
            answering = asyncio.ensure_future(super().call(url, headers, body))
            if script.requests:
                return await answering
            await script.gates.reached["a of call 1"].wait()
            raise CallError("the connection broke")

    backend = world.backend
    ports = Ports(
        backend.journal,
        backend.waits,
        backend.registry,
        backend.queue,
        Breaking(world.scripts),
        world.clock,
        flow=backend.flow,
    )
    world.worker = Worker(ports, retry_delay_ms=0)
    running = asyncio.create_task(world.run_to_end())
    await script.gates.reached["a of call 2"].wait()
    assert (await world.run()).header.term == 1
    for gate in ("a of call 1", "b of call 1"):
        script.gates.opened[gate].set()
        await script.gates.reached["b of call 1" if gate.startswith("a") else "c of call 1"].wait()
    script.gates.opened["a of call 2"].set()
    for name in ABC:
        for number in (1, 2, 3, 4):
            script.gates.opened[f"{name} of call {number}"].set()
    await running
    run = await world.run()
    assert run.header.status is RunStatus.COMPLETED, run.header.outcome
    assert [run.entries[hash_step_id(name)].memo["data"] for name in "ab"] == ["a of call 1", "b of call 1"]


async def test_attempts_count_from_the_last_saved_step() -> None:
    """A function that fails once after each step it saves has used no attempt of the next step by that."""

    async def program(call: Call) -> Answer:
        missing = [name for name in "abcdef" if not call.has(name)]
        if not missing:
            return 200, "done"
        if call.request.ctx.attempt == 0:
            await call.save(call.run(missing[0]))
            return 500, {"name": "ValueError", "message": "after a save"}
        return 206, [call.run(missing[0]).encode()]

    world, script = await world_of(program, retries=1)
    await world.run_to_end()
    assert await output_of(world) == "done"
    assert [attempt for _, attempt in script.calls] == [0, 1, 0, 1, 0, 1, 0]


async def test_attempts_count_from_the_last_saved_step_for_the_next_driver_too() -> None:
    """A driver that dies after its call saved a step leaves a run whose next call is a first attempt."""

    async def program(call: Call) -> Answer:
        if call.number == 1:
            return 500, {"name": "ValueError", "message": "at once"}
        if call.number == 2:
            await call.save(call.run("a"))
            await script.gates.stop_at("saved")
        return 200, "done"

    world, script = await world_of(program, retries=1)
    await world.settle()
    await world.clock.advance(1_000)
    dead = asyncio.create_task(world.worker.handle(await _retry_item(world), 1))
    await script.gates.reached["saved"].wait()
    await take_over(world, dead)
    assert await output_of(world) == "done"
    assert [attempt for _, attempt in script.calls] == [0, 1, 0]


async def _retry_item(world: World) -> Any:
    now_ms = world.clock.now_ms()
    (delivery,) = await world.backend.queue.receive(10, now_ms, now_ms + 1)
    return delivery.item


async def test_a_step_that_failed_before_keeps_what_was_said_of_it() -> None:
    """Its entry counts the attempts that failed, and is finished by the save."""

    async def program(call: Call) -> Answer:
        if call.has("a"):
            return 200, "done"
        opcode = call.run("a")
        if call.request.ctx.attempt < 2:
            error = {"name": "ValueError", "message": "not yet"}
            return 206, [{"op": "StepError", "id": opcode.id, "name": "a", "error": error}]
        assert await call.save(opcode) == 200
        return 206, [complete("saved")]

    world, _ = await world_of(program)
    await world.run_to_end()
    assert await output_of(world) == "saved"
    entry = await world.entry("a")
    assert (entry.status, entry.attempt, entry.due_at_ms) == (StepStatus.COMPLETED, 2, None)


async def test_a_cancelled_runs_next_save_is_refused() -> None:
    """The step that was running when the run was cancelled is the last one to run."""

    async def cancel(call: Call, name: str) -> None:
        if name == "c":
            await call.saver.world.backend.queue.send([])
            await world.worker._canceller.cancel(call.request.ctx.run_id)

    world, script = await world_of(sequence(["a", "b", "c", "d", "e"], before=cancel))
    await world.run_to_end()
    assert (await world.run()).header.status is RunStatus.CANCELLED
    assert script.bodies == {"a": 1, "b": 1, "c": 1}
    assert script.saver is not None
    assert script.saver.statuses == [200, 200, 409]


async def test_a_batch_of_which_some_were_saved_before_saves_the_rest() -> None:
    """A buffer that is sent again with more in it leaves every step once."""

    async def program(call: Call) -> Answer:
        a, b, c = (call.run(name) for name in ABC)
        assert [await call.save(a, b), await call.save(a, b, c)] == [200, 200]
        return 206, [complete(None)]

    world, _ = await world_of(program)
    await world.run_to_end()
    assert stack_of(await world.run()) == tuple(map(hash_step_id, ABC))


async def test_a_batch_with_another_result_of_a_saved_step_saves_nothing() -> None:
    """What follows from a result that is not the journaled one is not journaled either."""

    async def program(call: Call) -> Answer:
        assert await call.save(call.run("a", 1)) == 200
        assert await call.save(call.run("a", True), call.run("b")) == 409
        return 206, [complete(None)]

    world, _ = await world_of(program)
    await world.run_to_end()
    run = await world.run()
    assert set(run.entries) == {hash_step_id("a")}


async def test_a_save_that_comes_while_its_steps_are_reported_costs_nothing_of_the_reply() -> None:
    """A late save that lands after the journal was read refuses its step alone: the rest of the reply still counts."""
    late: list[Any] = []

    async def program(call: Call) -> Answer:
        a, b = call.run("a"), call.run("b")
        late.append(call.saver.checkpoint(call.request, a))
        return 206, [a.encode(), b.encode(), complete("done")]

    world, script = await world_of(program)
    assert script.saver is not None
    saver = script.saver

    class Crossed(CountingJournal):
        async def commit(self, run_id: str, writes: Any, **lease: Any) -> bool:
            if late:
                assert await saver.checkpointer.answer(late.pop()) == 200
            return await world.backend.journal.commit(run_id, writes, **lease)

    world.worker = world.new_worker(Crossed(world.backend.journal), world.backend.queue)
    await world.run_to_end()
    assert await output_of(world) == "done"
    assert (script.bodies, len(script.calls)) == ({"a": 1, "b": 1}, 1)


async def test_a_step_that_is_too_large_fails_the_run_where_it_is_reported() -> None:
    """The save is refused, so the step comes with the reply, which says what is wrong with it."""
    limits = Limits(step_bytes=100)

    async def program(call: Call) -> Answer:
        opcode = call.run("a", "x" * 200)
        assert await call.save(opcode) == 413
        return 206, [opcode.encode()]

    world, script = await world_of(program)
    assert script.saver is not None
    script.saver.checkpointer._limits = limits
    backend = world.backend
    invoker = ScriptInvoker(world.scripts)
    ports = Ports(
        backend.journal, backend.waits, backend.registry, backend.queue, invoker, world.clock, flow=backend.flow
    )
    world.worker = Worker(ports, limits=limits)
    await world.run_to_end()
    outcome = (await world.run()).header.outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error["name"] == "output_too_large"


async def test_saved_steps_count_towards_the_limit_of_a_run() -> None:
    """A function that saves more steps than a run may have fails at its next report."""

    async def program(call: Call) -> Answer:
        for number in range(6):
            assert await call.save(call.run(f"step-{number}")) == 200
        return 206, [{"op": "StepPlanned", "id": hash_step_id("next"), "name": "next"}]

    world, _ = await world_of(program)
    backend, invoker = world.backend, ScriptInvoker(world.scripts)
    ports = Ports(
        backend.journal, backend.waits, backend.registry, backend.queue, invoker, world.clock, flow=backend.flow
    )
    world.worker = Worker(ports, limits=Limits(steps_per_run=5))
    await world.run_to_end()
    outcome = (await world.run()).header.outcome
    assert outcome is not None
    assert outcome.error is not None
    assert outcome.error["name"] == "InngestErrFunctionOverflowed"


async def test_announced_steps_leave_nothing() -> None:
    """They are accepted; the journal has what was executed."""
    from stepwell.wire.opcodes import Op, Opcode

    async def program(call: Call) -> Answer:
        assert await call.save(Opcode(Op.STEP_PLANNED, hash_step_id("soon"), "soon")) == 200
        return 206, [complete(None)]

    world, _ = await world_of(program)
    await world.run_to_end()
    assert (await world.run()).entries == {}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"qi_id": ""}, 400),
        ({"qi_id": "somebody-elses"}, 400),
        ({"run_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, 400),
        ({"run_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "qi_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV:1:1:1"}, 400),
        ({"generation_id": 7}, 409),
        ({"generation_id": 0}, 200),
    ],
)
async def test_a_checkpoint_must_be_of_the_call_that_is_under_way(changes: dict[str, Any], status: int) -> None:
    """A run or a call that there is not is a mistake; another generation is a call that is over."""
    statuses: list[int] = []

    async def program(call: Call) -> Answer:
        checkpoint = call.saver.checkpoint(call.request, call.run("a"))
        statuses.append(await call.saver.checkpointer.answer(replace(checkpoint, **changes)))
        return 206, [complete(None)]

    world, _ = await world_of(program)
    await world.run_to_end()
    assert statuses == [status]


async def test_nothing_is_saved_once_the_lease_is_free() -> None:
    """After the driver has gone, nobody waits for what the call executes."""
    calls: list[Call] = []

    async def program(call: Call) -> Answer:
        calls.append(call)
        return 206, [{"op": "Sleep", "id": hash_step_id("nap"), "name": "1h"}]

    world, _ = await world_of(program)
    await world.settle()
    assert await calls[0].save(calls[0].run("late")) == 409
    assert set((await world.run()).entries) == {hash_step_id("nap")}


async def test_a_function_that_only_saved_is_asked_again() -> None:
    """A reply that reports nothing is no failure when steps were saved during the call."""

    async def program(call: Call) -> Answer:
        if call.has("a"):
            return 200, "done"
        assert await call.save(call.run("a")) == 200
        return 206, []

    world, script = await world_of(program, retries=0)
    await world.run_to_end()
    assert await output_of(world) == "done"
    assert len(script.calls) == 2
