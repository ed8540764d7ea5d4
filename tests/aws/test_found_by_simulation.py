"""What simulated worlds on DynamoDB, or a look at what they may not show, brought up; each in its smallest form."""

from __future__ import annotations

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.control import Control
from stepwell_orchestrator.fresh_ids import FreshIds
from stepwell_orchestrator.model.notice import Notice
from stepwell_orchestrator.model.queue_item import QueueItem
from stepwell_orchestrator.model.step import StepStatus
from tests.aws.bed import Bed
from tests.conformance.samples import a_signal_wait, absent, an_end, an_entry, create_driven
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
