"""Steps saved by checkpoints, on every backend."""

from __future__ import annotations

import pytest

from stepwell.wire.checkpoint import Checkpoint
from stepwell.wire.ids import hash_step_id
from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.accepting.checkpointing import Checkpointer
from stepwell_orchestrator.engine.journal.call_reference import CallReference
from stepwell_orchestrator.engine.journal.stack import stack_of
from stepwell_orchestrator.entry.virtual_clock import VirtualClock
from stepwell_orchestrator.limits import Limits
from stepwell_orchestrator.model.notice import Notice
from tests.conformance.backends import PrunedJournal
from tests.conformance.samples import NOW_MS, an_end, create_driven, run_id


def steps(count: int, value: object = "done") -> tuple[Opcode, ...]:
    names = [f"step-{number}" for number in range(count)]
    return tuple(Opcode(Op.STEP_RUN, hash_step_id(name), name, data=value) for name in names)


def checkpoint(opcodes: tuple[Opcode, ...], term: int = 1, wanted: int = 1) -> Checkpoint:
    reference = CallReference(run_id(1), term, 1, wanted).encode()
    return Checkpoint(run_id(1), "shop-fulfil", reference, "R", term, NOW_MS, NOW_MS, opcodes)


def checkpointer(journal: PrunedJournal, notices: list[Notice]) -> Checkpointer:
    return Checkpointer(journal, VirtualClock(), Limits(), notices.append)


@pytest.mark.parametrize("count", [1, 3, 150])
async def test_steps_are_saved_once_whatever_is_repeated(journal: PrunedJournal, count: int):
    """A batch, however large, has its order; sent again it changes nothing, and with more in it adds the rest."""
    await create_driven(journal)
    notices: list[Notice] = []
    saver = checkpointer(journal, notices)
    for more in (0, 0, 2):
        assert await saver.answer(checkpoint(steps(count + more))) == 200
    run = await journal.load(run_id(1))
    assert run is not None
    assert stack_of(run) == tuple(opcode.id for opcode in steps(count + 2))
    assert len(notices) == count + 2
    assert run.header.wanted == 2


async def test_another_result_is_refused_and_the_first_one_stays(journal: PrunedJournal):
    """The steps beside it are not saved either."""
    await create_driven(journal)
    saver = checkpointer(journal, [])
    assert await saver.answer(checkpoint(steps(1, 1))) == 200
    assert await saver.answer(checkpoint(steps(2, True))) == 409
    run = await journal.load(run_id(1))
    assert run is not None
    assert [entry.memo for entry in run.entries.values()] == [{"data": 1}]


@pytest.mark.parametrize("over", ["released", "ended", "taken over"])
async def test_a_call_that_is_over_saves_nothing(journal: PrunedJournal, over: str):
    """Its driver has gone, its run has ended, or another driver has it; what it saved before stays."""
    await create_driven(journal)
    saver = checkpointer(journal, [])
    assert await saver.answer(checkpoint(steps(1))) == 200
    if over == "ended":
        await journal.commit(run_id(1), [an_end()], term=1)
    else:
        await journal.release(run_id(1), 1, 2, None)
    if over == "taken over":
        await journal.acquire(run_id(1), NOW_MS, NOW_MS + 1)
    assert await saver.answer(checkpoint(steps(2))) == 409
    run = await journal.load(run_id(1))
    assert run is not None
    assert set(run.entries) == {opcode.id for opcode in steps(1)}
