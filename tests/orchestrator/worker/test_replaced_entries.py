"""A step's entry is written over by none but who knows it as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from stepwell.wire.ids import hash_step_id
from stepwell_orchestrator.engine.opcodes.change import dropped
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.limits import CLAIM_LEASE_MS, DRIVE_LEASE_MS
from stepwell_orchestrator.model.decision import PutEntry
from stepwell_orchestrator.model.queue_item import Execute, QueueItem, SignalArrived
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import Acquired, Claimed
from tests.orchestrator.worker.harness import Script, World

SLEEP: dict[str, tuple[str, dict[str, Any]]] = {"x": ("Sleep", {"duration": "1m"})}
WAIT: dict[str, tuple[str, dict[str, Any]]] = {"x": ("WaitForSignal", {"signal": "go", "timeout": "1h"})}
X = hash_step_id("x")


async def planned(script: Script) -> tuple[World, str]:
    """A run whose step x is planned and not executed yet, beside a tick."""
    world = World(script)
    await world.register()
    event = await world.send()
    await world.worker.handle(items.route(event.internal_id, 0).item, 1)
    header = (await world.run()).header
    await world.worker.handle(items.start(header, 0).item, 1)
    assert (await world.entry("x")).status is StepStatus.PLANNED
    return world, header.run_id


async def claim(world: World, run_id: str) -> StepEntry:
    """Claim step x, at the attempt it is at."""
    now_ms = world.clock.now_ms()
    attempt = (await world.entry("x")).attempt
    claim = await world.backend.journal.claim(run_id, X, attempt, now_ms=now_ms, until_ms=now_ms + CLAIM_LEASE_MS)
    assert isinstance(claim, Claimed)
    return claim.entry


async def test_a_driver_does_not_write_over_a_claim_that_it_did_not_see() -> None:
    """New code makes a step a sleep just when a worker begins to execute it: its body's result is kept."""
    script = Script([["sleep:5s", "x"], ["after"]], race=True)
    world, run_id = await planned(script)
    claims: list[StepEntry] = []

    async def claim_meanwhile(_target: str) -> None:
        if not claims:
            claims.append(await claim(world, run_id))

    script.ops, script.before_reply = SLEEP, claim_meanwhile
    await world.clock.advance(5_000)
    tick = hash_step_id("sleep:5s")
    await world.worker.handle(items.timer(run_id, tick, world.clock.now_ms()).item, 1)
    assert await world.entry("x") == claims[0]
    done = replace(claims[0], status=StepStatus.COMPLETED, memo={"data": "X"})
    await world.backend.journal.commit(run_id, [PutEntry(done, claims[0])], term=None)
    await world.run_to_end()
    run = await world.run()
    assert (run.header.status, run.entries[X].memo) == (RunStatus.COMPLETED, {"data": "X"})


async def test_a_result_does_not_end_what_the_step_has_become() -> None:
    """While a worker executes a step, its entry is replaced by a sleep: the sleep lasts its time."""
    script = Script([["sleep:5s", "x"], ["after"]])
    world, run_id = await planned(script)

    async def replace_meanwhile(target: str) -> None:
        if target == X:
            entry = await world.entry("x")
            asleep = replace(
                dropped(entry, 0).entry, status=StepStatus.SLEEPING, due_at_ms=world.clock.now_ms() + 60_000
            )
            await world.backend.journal.commit(run_id, [PutEntry(asleep, entry)], term=None)

    script.before_reply = replace_meanwhile
    await world.worker.handle(QueueItem("x", Execute(run_id, X, 0), 0), 1)
    assert script.bodies["x"] == 1
    assert (await world.entry("x")).status is StepStatus.SLEEPING


async def test_of_two_claimants_the_later_one_is_heard() -> None:
    """A worker that lost its claim says that the step failed: who executes it now is neither stopped nor doubled."""
    script = Script([["sleep:5s", "x"], ["after"]], fails={"x": 1})
    world, run_id = await planned(script)
    later: list[StepEntry] = []

    async def lose_claim(target: str) -> None:
        if target == X and not later:
            entry = await world.entry("x")
            expired = replace(entry, claim_until_ms=world.clock.now_ms())
            await world.backend.journal.commit(run_id, [PutEntry(expired, entry)], term=None)
            await world.clock.advance(1)
            later.append(await claim(world, run_id))

    script.before_reply = lose_claim
    await world.worker.handle(QueueItem("x", Execute(run_id, X, 0), 0), 1)
    assert await world.entry("x") == later[0]


async def test_a_settler_does_not_end_what_the_step_has_become() -> None:
    """A signal comes while its step becomes another wait for it: the new one is not ended, and keeps the signal."""
    world = World(Script([["x"]], ops=WAIT))
    await world.register()
    await world.send()
    await world.settle()
    run_id, older = (await world.run()).header.run_id, await world.entry("x")
    newer = replace(older, attempt=1, opts={**older.opts, "signal": "go"})
    journal = world.backend.journal

    class Raced:
        """The journal, in which the step changes just before the first commit."""

        changed = False

        def __getattr__(self, name: str) -> Any:
            return getattr(journal, name)

        async def commit(self, *args: Any, **options: Any) -> bool:
            if not self.changed:
                self.changed = True
                await journal.commit(run_id, [PutEntry(newer, older)], term=None)
            return await journal.commit(*args, **options)

    await journal.acquire(run_id, world.clock.now_ms(), world.clock.now_ms() + 30_000)
    worker = world.new_worker(Raced(), world.backend.queue)
    stale = items.settle(run_id, X, SignalArrived("stop", 1), world.clock.now_ms()).item
    await worker.handle(stale, 1)
    assert await world.entry("x") in (older, newer)
    assert await world.backend.waits.get_signal("go") is not None


async def test_what_a_dead_driver_dropped_is_let_go_by_the_next_one() -> None:
    """A driver drops a wait and dies before it lets its signal go: the next driver does so, long before its time."""
    world = World(Script([["x"]], ops=WAIT))
    await world.register()
    await world.send()
    await world.settle()
    run_id, now_ms = (await world.run()).header.run_id, world.clock.now_ms()
    acquired = await world.backend.journal.acquire(run_id, now_ms, now_ms + DRIVE_LEASE_MS)
    assert isinstance(acquired, Acquired)
    gone = dropped(await world.entry("x"), now_ms)
    await world.backend.journal.commit(run_id, [gone], term=acquired.header.term)
    world.script.stages = [["sleep:1m"]]
    await world.clock.advance(DRIVE_LEASE_MS)
    assert await world.backend.waits.get_signal("go") is not None
    await world.worker.handle(items.hand_over(run_id, acquired.header.term, 0).item, 1)
    assert await world.backend.waits.get_signal("go") is None
