"""What may come between those who ask at a gate, those who make room there, and those who die at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from stepwell_orchestrator.controlling.lines import Lines
from stepwell_orchestrator.engine.flow.gates import Gate, gates_of
from stepwell_orchestrator.model.flow import Counted, Limit, Place, RunFlow
from stepwell_orchestrator.model.queue_item import Start
from stepwell_orchestrator.worker.limiting.gatekeeping import Asker, Gatekeeper
from tests.orchestrator.flow.stage import SLUG, Stage, a_stage

LIMITS = [{"limit": 1, "key": "event.data.tenant"}, {"limit": 1}]
KEYED, PLAIN = "calls fn event.data.tenant", "calls fn"


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage on which nobody works: its queue shows who was sent for."""
    async with a_stage("sqlite", concurrency=LIMITS) as opened:
        await opened.stop()
        yield opened


def an_asker(number: int) -> Asker:
    """A run that was to start at that time."""
    name = f"run{number}"
    return Asker(name, SLUG, f"{name}:1", Place(number, name), Start(name))


async def gates(stage: Stage, tenant: str = "a", *ids: str) -> list[Gate]:
    """The gates of a run, or those of some of its limits."""
    function = await stage.store.registry.get_function(SLUG)
    found = gates_of(RunFlow({KEYED: tenant, PLAIN: ""}, 0), function)
    return [gate for gate in found if not ids or gate.limit.id in ids]


async def sent_for(stage: Stage) -> set[str]:
    """The runs whose start is queued."""
    async with stage.local.database.read() as db:
        return {run_id for (run_id,) in db.execute("SELECT run_id FROM queue WHERE run_id IS NOT NULL")}


async def line_of(stage: Stage, gate: Gate) -> list[str]:
    """Who stands in line."""
    state = await stage.store.flow.gates.look(gate.id, stage.clock.now_ms(), waiters=10)
    return [waiter.place.waiter for waiter in state.line]


async def holders_of(stage: Stage, gate: Gate) -> list[str]:
    """Who holds slots."""
    state = await stage.store.flow.gates.look(gate.id, stage.clock.now_ms(), waiters=0)
    return [holder.name for holder in state.holders]


@dataclass
class Meanwhile:
    """The gates, where something happens after the n-th call of a method."""

    port: Any
    method: str
    act: Callable[[], Awaitable[Any]]
    nth: int = 1
    calls: int = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.port, name)
        if name != self.method:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            self.calls += 1
            if self.calls == self.nth:
                await self.act()
            return result

        return call


def a_keeper(stage: Stage, gates_port: Any = None) -> Gatekeeper:
    """A gatekeeper on the stage's ports, or with other gates."""
    flow = replace(stage.store.flow, gates=gates_port or stage.store.flow.gates)
    return Gatekeeper(
        flow, Lines(flow, stage.store.journal, stage.store.registry, stage.local.queue, stage.clock), stage.clock
    )


async def test_room_made_before_the_joining_is_seen_by_the_second_look(stage: Stage):
    """A slot that is given back after the refusal, before the asker stood in line, is the asker's."""
    keeper, own = a_keeper(stage), await gates(stage)
    assert await keeper.enter(an_asker(1), own)
    port = Meanwhile(stage.store.flow.gates, "look", lambda: keeper.leave(an_asker(1), own))
    assert await a_keeper(stage, port).enter(an_asker(2), own)
    assert await holders_of(stage, own[0]) == ["run2:1"]
    assert await line_of(stage, own[0]) == []


async def test_room_made_after_the_second_look_sends_for_the_waiter(stage: Stage):
    """Who gives back after the asker looked for the second time sees it in line."""
    keeper, own = a_keeper(stage), await gates(stage)
    assert await keeper.enter(an_asker(1), own)
    port = Meanwhile(stage.store.flow.gates, "look", lambda: keeper.leave(an_asker(1), own), nth=2)
    assert not await a_keeper(stage, port).enter(an_asker(2), own)
    assert await sent_for(stage) == {"run2"}
    assert await keeper.enter(an_asker(2), own)


async def test_who_leaves_the_line_sends_for_the_next_one(stage: Stage):
    """One that left without having gone through makes room for those behind it."""
    keeper, (gate,) = a_keeper(stage), await gates(stage, "a", PLAIN)
    await keeper.enter(an_asker(1), [gate])
    for number in (2, 3):
        await keeper.enter(an_asker(number), [gate])
    await stage.store.flow.gates.give_slot(gate.id, "run1:1")
    await keeper.leave_lines(Place(2, "run2"), [gate.id])
    assert await sent_for(stage) == {"run3"}


async def test_a_refusal_gives_back_what_was_taken(stage: Stage):
    """Who is refused at the second gate holds nothing at the first one, and another one of its key is sent for."""
    keeper, (keyed, plain) = a_keeper(stage), await gates(stage)
    await keeper.enter(an_asker(9), [plain])
    assert not await keeper.enter(an_asker(1), [keyed, plain])
    assert await holders_of(stage, keyed) == []
    assert (await line_of(stage, keyed), await line_of(stage, plain)) == ([], ["run1"])


async def test_what_a_refused_one_held_meanwhile_is_offered_to_the_next(stage: Stage):
    """One that was refused because of a slot that was given back a moment later is sent for."""
    keeper, (keyed, plain) = a_keeper(stage), await gates(stage)
    await keeper.enter(an_asker(9), [plain])

    async def ask() -> None:
        assert not await keeper.enter(an_asker(2), [keyed])

    port = Meanwhile(stage.store.flow.gates, "take_slot", ask)
    assert not await a_keeper(stage, port).enter(an_asker(1), [keyed, plain])
    assert await sent_for(stage) == {"run2"}


async def test_a_waiter_stands_at_one_gate(stage: Stage):
    """A waiter that goes through its gate and is refused at the next one stands there alone, and the first is free."""
    keeper, (keyed, plain) = a_keeper(stage), await gates(stage)
    await keeper.enter(an_asker(8), [keyed])
    assert not await keeper.enter(an_asker(1), [keyed, plain])
    assert not await keeper.enter(an_asker(2), [keyed, plain])
    await keeper.enter(an_asker(9), [plain])
    await keeper.leave(an_asker(8), [keyed])
    assert not await keeper.enter(an_asker(1), [keyed, plain])
    assert (await line_of(stage, keyed), await line_of(stage, plain)) == (["run2"], ["run1"])
    assert "run2" in await sent_for(stage)


async def test_a_redelivered_start_takes_no_second_slot(stage: Stage):
    """The same holder goes through again, also when others wait, and holds what it held."""
    keeper, own = a_keeper(stage), await gates(stage)
    assert await keeper.enter(an_asker(5), own)
    await keeper.enter(an_asker(1), own)
    assert await keeper.enter(an_asker(5), own)
    assert await holders_of(stage, own[0]) == ["run5:1"]


async def test_a_newcomer_does_not_pass_those_who_wait(stage: Stage):
    """A free slot is for the one who was sent for, not for one that comes later and was to start later."""
    keeper, own = a_keeper(stage), await gates(stage)
    await keeper.enter(an_asker(1), own)
    await keeper.enter(an_asker(2), own)
    await keeper.leave(an_asker(1), own)
    assert not await keeper.enter(an_asker(3), own)
    assert await keeper.enter(an_asker(2), own)


async def test_a_waiter_is_sent_for_once_a_turn(stage: Stage):
    """However often room is made, a waiter that was sent for is queued once, until it has joined again."""
    keeper, own = a_keeper(stage), await gates(stage)
    await keeper.enter(an_asker(1), own)
    await keeper.enter(an_asker(2), own)
    await stage.store.flow.gates.give_slot(own[0].id, "run1:1")
    for _ in range(3):
        await keeper.lines.send_for_next(own[0].id)
    async with stage.local.database.read() as db:
        assert db.execute("SELECT count(*) FROM queue WHERE run_id = 'run2'").fetchone() == (1,)


async def test_the_sweep_sends_for_those_for_whom_a_dead_holder_made_room(stage: Stage):
    """A slot whose time ran out lets the first of the line go, at the next sweep."""
    keeper, own = a_keeper(stage), await gates(stage)
    await keeper.enter(an_asker(1), own)
    await keeper.enter(an_asker(2), own)
    assert await keeper.lines.sweep() == 0
    await stage.clock.advance(30_000)
    assert await keeper.lines.sweep() == 1
    assert await sent_for(stage) == {"run2"}


async def test_the_sweep_gives_back_what_a_run_holds_that_is_over(stage: Stage):
    """The slot of a run whose ender died before it gave back is free again where somebody waits for it."""
    function = await stage.store.registry.get_function(SLUG)
    assert function is not None
    limit = Limit("runs fn", Counted.RUNS, most=1)
    gate = Gate("0123", limit, "")
    keeper = a_keeper(stage)
    await stage.register({SLUG: {"concurrency": {"fn": [{"limit": 1}]}}})
    assert await keeper.enter(an_asker(1), [gate])
    assert not await keeper.enter(an_asker(2), [gate])
    assert await keeper.lines.sweep() == 1
    assert await holders_of(stage, gate) == []
