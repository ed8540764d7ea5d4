"""What simulated worlds on DynamoDB, or a look at what they may not show, brought up; each in its smallest form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.controlling.control import Control
from stepwell_orchestrator.errors import ConflictError, LeaseLostError
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.limits import DELIVERY_LEASE_MS, DRIVE_LEASE_MS
from stepwell_orchestrator.model.notice import Notice
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.ports import Acquired
from tests.conformance.samples import UNTIL_MS, a_signal_wait, absent, an_end, an_entry, create_driven, drive
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.worker.harness import Script, World
from tests.orchestrator.worker.test_found_by_simulation import CrossedJournal
from tests.orchestrator.world import counting_entropy


async def unasked(_item: QueueItem, _deliveries: int) -> int | None:
    """What has no part in a test."""
    raise AssertionError("nothing is to be handled")


async def test_a_signal_does_not_resume_a_run_that_is_over(bed: Bed) -> None:
    """Whoever sends a signal between its waiter's end and the end of the waiting is told that nobody waits."""
    backend, notices = bed.backend(), list[Notice]()
    journal, ids = backend.journal, FreshIds(bed.clock, counting_entropy())
    control = Control(
        journal,
        backend.waits,
        backend.registry,
        backend.queue,
        bed.clock,
        ids=ids,
        handle=unasked,
        observe=notices.append,
    )
    waiting = an_entry("step", StepStatus.WAITING, op=Op.WAIT_FOR_SIGNAL)
    wait = a_signal_wait(step_id=waiting.step_id, expires_at_ms=bed.clock.now_ms() + 60_000)
    run_id = await create_driven(journal)
    await journal.commit(run_id, [absent(waiting)], term=1)
    assert await backend.waits.take_signal(wait, replace=False, now_ms=bed.clock.now_ms())
    await journal.commit(run_id, [an_end()], term=None)

    assert await control.signal(wait.name, 1) is None
    assert notices == []
    assert bed.next_at_ms() is None
    assert await journal.get_entry(run_id, waiting.step_id) == waiting


async def test_what_an_overtaken_driver_left_undone_is_done(bed: Bed) -> None:
    """A sleep stored for a driver that was overtaken, and that died before it set the timer, is over at its end."""
    # Its successor has looked already for what it left undone, and meets the entry when it stores its own.
    world = World(Script([["sleep:1h"]]))
    local, aws = world.backend, bed.backend()
    world.backend = replace(local, journal=aws.journal, waits=aws.waits, registry=aws.registry)
    world.worker = world.new_worker(aws.journal, local.queue)
    await world.register()
    await world.send()

    async def store_late(world: World, run_id: str) -> None:
        now_ms = world.clock.now_ms()
        asleep = an_entry("sleep:1h", StepStatus.SLEEPING, op=Op.SLEEP, due_at_ms=now_ms + 3_600_000)
        await world.backend.journal.commit(run_id, [absent(asleep)], term=1)

    (route,) = await local.queue.receive(1, world.clock.now_ms(), world.clock.now_ms() + DELIVERY_LEASE_MS)
    await world.worker.handle(route.item, 1)
    await local.queue.ack(route)
    (header,) = await world.headers()
    until_ms = world.clock.now_ms() + DRIVE_LEASE_MS
    assert isinstance(await aws.journal.acquire(header.run_id, world.clock.now_ms(), until_ms), Acquired)
    await world.clock.advance(DRIVE_LEASE_MS)
    world.worker = world.new_worker(CrossedJournal(world, "run_of", store_late), world.backend.queue)
    await world.run_to_end()
    assert [header.status for header in await world.headers()] == [RunStatus.COMPLETED]


@pytest.mark.parametrize(("over", "error"), [("the term", LeaseLostError), ("the run", ConflictError)])
async def test_no_part_of_a_long_commit_comes_after_its_term(bed: Bed, over: str, error: type[Exception]) -> None:
    """Of a commit of several transactions nothing is stored for a driver that was overtaken, or whose run has ended."""
    # A successor that found a part of it, after it had looked for what was left undone, would take it for done.
    journal = bed.backend().journal
    run_id = await create_driven(journal)
    if over == "the run":
        await journal.commit(run_id, [an_end()], term=None)
    else:
        await drive(journal, now_ms=UNTIL_MS, until_ms=UNTIL_MS + DRIVE_LEASE_MS)
    with pytest.raises(error):
        await journal.commit(run_id, [absent(an_entry(str(number))) for number in range(150)], term=1)
    run = await journal.load(run_id)
    assert run is not None
    assert run.entries == {}
