"""A rerun from a step: what it finds done, what it does again, and a worker that dies on the way there."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from stepwell.wire.call import CallRequest
from stepwell.wire.ids import hash_step_id
from stepwell.wire.memo import Input, decode_memo
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.errors import ConflictError
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS
from stepwell_orchestrator.model.queue_item import FromStep, Rerun
from stepwell_orchestrator.model.run import Run, RunStatus
from tests.orchestrator.worker.harness import Script, World
from tests.orchestrator.worker.test_crash_everywhere import DeadError, Fate, Mortal

RERUN = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
STAGES = (("a",), ("p", "q"), ("c",), ("d",))


class Obedient(Script):
    """A script that runs the steps whose arguments are set, and keeps those it was given."""

    given: tuple[Any, ...] | None = None

    async def answer(self, request: CallRequest, target: str) -> tuple[int, Any]:
        """As the script would without the arguments, which are no results."""
        memos = {step_id: decode_memo(raw) for step_id, raw in request.steps.items()}
        for memo in memos.values():
            if isinstance(memo, Input):
                self.given = memo.args
        done = {step_id: raw for step_id, raw in request.steps.items() if not isinstance(memos[step_id], Input)}
        return await super().answer(replace(request, steps=done), target)


async def ended_world(**options: Any) -> World:
    """A world whose one run has ended; what was counted on the way is forgotten."""
    world = World(Obedient(STAGES), **options)
    await world.register()
    await world.send()
    await world.run_to_end()
    world.script.bodies.clear()
    await world.clock.advance(1_000)
    return world


async def again(world: World, start: FromStep) -> None:
    """Queue a rerun of the one run."""
    (original,) = await world.headers()
    work = Rerun(RERUN, original.run_id, world.clock.now_ms(), start)
    await world.backend.queue.send([items.rerun(work).item])


async def loaded(world: World) -> Run:
    run = await world.backend.journal.load(RERUN)
    assert run is not None
    return run


async def test_only_what_comes_after_is_done_again() -> None:
    """The steps before the start keep their results and their order, and those from it on run."""
    world = await ended_world()
    original = await world.run()
    await again(world, FromStep(hash_step_id("c"), 3))
    await world.run_to_end()
    run = await loaded(world)
    assert run.header.status is RunStatus.COMPLETED
    assert world.script.bodies == Counter(c=1, d=1)
    assert {name: run.entries[hash_step_id(name)].memo for name in "apqcd"} == {
        name: original.entries[hash_step_id(name)].memo for name in "apqcd"
    }
    assert run.header.original_run_id == original.header.run_id


async def test_a_parallel_step_is_kept_when_it_finished_before() -> None:
    """Of two parallel steps the one that finished before the start is kept, and the other one runs."""
    world = await ended_world()
    first, second = sorted("pq", key=hash_step_id)
    await again(world, FromStep(hash_step_id(second), 2))
    await world.run_to_end()
    assert (await loaded(world)).header.status is RunStatus.COMPLETED
    assert world.script.bodies == Counter([second, "c", "d"]), f"{first} was kept"


@pytest.mark.parametrize(("step", "kept"), [("c", 3), ("p", 1)])
async def test_new_arguments_reach_the_step(step: str, kept: int) -> None:
    """Arguments are sent for the step, run in place or planned, until it has finished; then its result is."""
    world = await ended_world()
    await again(world, FromStep(hash_step_id(step), kept, (7, {"n": 1})))
    await world.run_to_end()
    run = await loaded(world)
    assert run.header.status is RunStatus.COMPLETED
    assert isinstance(world.script, Obedient)
    assert world.script.given == (7, {"n": 1})
    entry = run.entries[hash_step_id(step)]
    assert (entry.arguments, entry.memo) == (None, {"data": step.upper()})


async def test_new_arguments_outlive_failed_attempts() -> None:
    """A step that fails with its new arguments is tried again with them."""
    world = await ended_world()
    world.script.fails = {"c": 1}
    await again(world, FromStep(hash_step_id("c"), 3, ("new",)))
    await world.settle()
    assert (await loaded(world)).entries[hash_step_id("c")].arguments == ("new",)
    await world.run_to_end()
    assert (await loaded(world)).header.status is RunStatus.COMPLETED
    assert world.script.bodies == Counter(c=2, d=1)


async def test_two_deliveries_at_once_make_one_rerun() -> None:
    """A rerun that is delivered three times at once is created once, and nothing in it runs twice."""
    world = await ended_world()
    await again(world, FromStep(hash_step_id("c"), 3, (1,)))
    await world.run_to_end(copies=3)
    assert (await loaded(world)).header.status is RunStatus.COMPLETED
    assert world.script.bodies == Counter(c=1, d=1)


class TornJournal:
    """A journal whose first commit of several writes stores one of them, and then says that it broke."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal
        self.torn = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def commit(self, run_id: str, writes: Any, **lease: Any) -> bool:
        """Tear the first long commit."""
        if len(writes) > 1 and not self.torn:
            self.torn = True
            await self._journal.commit(run_id, writes[:1], **lease)
            raise ConflictError("torn")
        return await self._journal.commit(run_id, writes, **lease)


async def test_a_torn_copy_is_completed() -> None:
    """Entries that another delivery has put already are left, and those that are missing are put."""
    world = await ended_world()
    torn = TornJournal(world.backend.journal)
    await again(world, FromStep(hash_step_id("c"), 3))
    await world.settle(worker=world.new_worker(torn, world.backend.queue))
    await world.run_to_end()
    assert torn.torn
    assert (await loaded(world)).header.status is RunStatus.COMPLETED
    assert world.script.bodies == Counter(c=1, d=1)


async def live(fate: Fate) -> World:
    """A rerun by a mortal worker, and by an immortal one after its death."""
    world = await ended_world(retries=1)
    backend = world.backend
    mortal = world.new_worker(Mortal(backend.journal, fate), Mortal(backend.queue, fate), Mortal(backend.waits, fate))
    await again(world, FromStep(hash_step_id("c"), 3, (7,)))
    try:
        while (next_ms := await backend.queue.next_at_ms()) is not None:
            await world.clock.advance(max(0, next_ms - world.clock.now_ms()))
            await world.settle(worker=mortal)
    except DeadError:
        await asyncio.sleep(0)
        await world.clock.advance(DELIVERY_LEASE_MS)
    await world.run_to_end()
    return world


async def test_a_crash_at_any_port_call_is_survived() -> None:
    """Wherever the worker dies, the rerun has all it began with, runs no step before its start, and ends once."""
    unharmed = Fate(None)
    await live(unharmed)
    assert unharmed.calls > 10
    for at in range(1, unharmed.calls + 1):
        for after in (False, True):
            world = await live(Fate(at, after=after))
            where = f"crash {'after' if after else 'before'} port call {at}"
            run = await loaded(world)
            assert run.header.status is RunStatus.COMPLETED, where
            assert world.script.bodies.keys() == {"c", "d"}, where
            assert isinstance(world.script, Obedient)
            assert world.script.given == (7,), where
            assert len(await world.headers()) == 2, where
            assert len(await world.events_named("inngest/function.finished")) == 2, where
