from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from stepwell.errors import EncodingError
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.errors import ConflictError, LeaseLostError, StoreError
from stepwell_orchestrator.model.decision import EndRun, PutEntry, PutProgress, Write
from stepwell_orchestrator.model.run import Outcome, Progress, RunStatus
from stepwell_orchestrator.model.step import Place, StepEntry, StepStatus
from stepwell_orchestrator.ports import Claimed
from tests.conformance.backends import PrunedJournal, Traits
from tests.conformance.samples import (
    NOW_MS,
    UNTIL_MS,
    a_result,
    absent,
    an_end,
    an_entry,
    create,
    create_driven,
    drive,
    instead_of,
    run_id,
)

PROGRESS = PutProgress(Progress(request_version=2, discovered=1))

ENTRIES: list[tuple[str, StepEntry]] = [
    ("planned", an_entry(opts={"retries": 2}, planned=True, race=True)),
    (
        "retrying",
        an_entry(status=StepStatus.ERRORED, attempt=2, due_at_ms=NOW_MS + 5, error={"name": "E", "cause": None}),
    ),
    ("asleep", an_entry(status=StepStatus.SLEEPING, op=Op.SLEEP, due_at_ms=NOW_MS)),
    ("slept", an_entry(status=StepStatus.COMPLETED, op=Op.SLEEP, memo=None, place=Place(3, 7))),
    ("done", a_result(value={"deep": [1, 2.5, None, {"é": "\u0000"}], "whole": 2**70})),
    ("done with nothing", a_result(value=None)),
    ("failed", an_entry(status=StepStatus.FAILED, memo={"error": {"name": "E", "message": ""}}, size_bytes=9)),
    (
        "waiting",
        an_entry(
            status=StepStatus.WAITING,
            op=Op.WAIT_FOR_EVENT,
            due_at_ms=UNTIL_MS,
            opts={"event": "a/b", "if": None, "shape": '[["data","id"]]', "since_ms": NOW_MS, "excluded": ["x", "y"]},
        ),
    ),
    ("timed out", an_entry(status=StepStatus.TIMED_OUT, op=Op.INVOKE_FUNCTION, memo=None, ended_at_ms=NOW_MS)),
    ("begun anew", an_entry(attempt=3, first_attempt=2, warnings=("odd", "è"))),
    ("executing", an_entry(status=StepStatus.RUNNING, started_at_ms=NOW_MS, claim_until_ms=UNTIL_MS)),
]


@pytest.mark.parametrize("entry", [entry for _, entry in ENTRIES], ids=[name for name, _ in ENTRIES])
async def test_an_entry_comes_back_as_it_was_put(journal: PrunedJournal, entry: StepEntry):
    """Every member of an entry survives storage, alone and as part of its run."""
    await create(journal)
    await journal.commit(run_id(1), [absent(entry)], term=None)
    run = await journal.load(run_id(1))
    assert await journal.get_entry(run_id(1), entry.step_id) == entry
    assert run is not None
    assert run.entries == {entry.step_id: entry}


async def test_an_unknown_entry_is_none(journal: PrunedJournal):
    """An entry of another step, or of another run, is not this one."""
    await create_driven(journal)
    await journal.commit(run_id(1), [absent(a_result())], term=1)
    assert await journal.get_entry(run_id(1), an_entry("other").step_id) is None
    assert await journal.get_entry(run_id(2), a_result().step_id) is None


async def test_progress_is_replaced(journal: PrunedJournal):
    """PutProgress replaces the whole progress, and it is what the next driver gets."""
    await create_driven(journal)
    await journal.commit(run_id(1), [PROGRESS], term=1)
    second = Progress(attempt=1, retry_at_ms=5, placed={"step": Place(1, 0)}, fences={1: 4}, warnings=("odd", "è"))
    await journal.commit(run_id(1), [PutProgress(second)], term=1)
    taken = await drive(journal, now_ms=UNTIL_MS)
    assert taken.header.progress == second


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(RunStatus.COMPLETED, NOW_MS, {"ok": [1, None]}),
        Outcome(RunStatus.COMPLETED, NOW_MS),
        Outcome(RunStatus.FAILED, NOW_MS, {"message": "no"}, {"name": "E", "message": "no", "stack": None}),
        Outcome(RunStatus.CANCELLED, NOW_MS),
        Outcome(RunStatus.COMPLETED, NOW_MS, 1, warnings=("odd", "è")),
    ],
    ids=["with output", "without output", "with error", "cancelled", "with warnings"],
)
async def test_an_outcome_comes_back_as_it_was_put(journal: PrunedJournal, outcome: Outcome):
    """How a run ended is part of its header from then on."""
    await create_driven(journal)
    await journal.commit(run_id(1), [EndRun(outcome)], term=1)
    header = await journal.get_header(run_id(1))
    assert header is not None
    assert (header.outcome, header.status) == (outcome, outcome.status)


STORED: list[tuple[str, StepEntry]] = [
    ("planned", an_entry()),
    ("errored", an_entry(status=StepStatus.ERRORED)),
    ("sleeping", an_entry(status=StepStatus.SLEEPING)),
    ("dropped", an_entry(status=StepStatus.DROPPED)),
    ("completed", a_result()),
    ("failed", an_entry(status=StepStatus.FAILED)),
    ("timed out", an_entry(status=StepStatus.TIMED_OUT)),
]


@pytest.mark.parametrize("stored", [entry for _, entry in STORED], ids=[name for name, _ in STORED])
async def test_guards_look_at_the_stored_entry(journal: PrunedJournal, stored: StepEntry):
    """A new entry is refused where there is one, and none takes the place of one that is memoised."""
    await create(journal)
    await journal.commit(run_id(1), [absent(stored)], term=None)
    with pytest.raises(ConflictError, match="fetch"):
        await journal.commit(run_id(1), [absent(a_result(value=2))], term=None)
    if stored.memoised:
        with pytest.raises(ConflictError, match="not as it was found"):
            await journal.commit(run_id(1), [instead_of(stored, a_result(value=2))], term=None)
        assert await journal.get_entry(run_id(1), stored.step_id) == stored
    else:
        await journal.commit(run_id(1), [instead_of(stored, a_result(value=2))], term=None)
        assert await journal.get_entry(run_id(1), stored.step_id) == a_result(value=2)


async def test_nothing_takes_the_place_of_an_entry_that_is_not_there(journal: PrunedJournal):
    """An entry that is to replace another one is refused where there is none."""
    await create(journal)
    for replaced in (an_entry(), an_entry(status=StepStatus.WAITING), an_entry(status=StepStatus.WAITING, attempt=1)):
        with pytest.raises(ConflictError, match="not as it was found"):
            await journal.commit(run_id(1), [instead_of(replaced, a_result())], term=None)
    assert await journal.get_entry(run_id(1), a_result().step_id) is None


VERSIONS = {
    "planned": an_entry(),
    "planned again": an_entry(attempt=1),
    "claimed": an_entry(status=StepStatus.RUNNING, claimed_at_ms=NOW_MS, claim_until_ms=UNTIL_MS),
    "claimed later": an_entry(status=StepStatus.RUNNING, claimed_at_ms=NOW_MS + 1, claim_until_ms=UNTIL_MS),
    "claimed again": an_entry(status=StepStatus.RUNNING, attempt=1, claimed_at_ms=NOW_MS, claim_until_ms=UNTIL_MS),
    "waiting": an_entry(status=StepStatus.WAITING),
    "waiting anew": an_entry(status=StepStatus.WAITING, attempt=1),
    "dropped": an_entry(status=StepStatus.DROPPED, attempt=2),
}


@pytest.mark.parametrize(("found", "stored"), list(itertools.permutations(VERSIONS, 2)))
async def test_an_entry_takes_the_place_of_the_one_that_was_read_alone(journal: PrunedJournal, found: str, stored: str):
    """What was claimed, failed, dropped or begun anew since it was read is not written over."""
    await create(journal)
    await journal.commit(run_id(1), [absent(VERSIONS[stored])], term=None)
    with pytest.raises(ConflictError, match="not as it was found"):
        await journal.commit(run_id(1), [instead_of(VERSIONS[found], a_result())], term=None)
    assert await journal.get_entry(run_id(1), a_result().step_id) == VERSIONS[stored]


async def test_a_claim_between_a_read_and_a_commit_refuses_it(journal: PrunedJournal):
    """Who read a step before it was claimed does not write over it, and who claimed it does, also after a renewal."""
    await create_driven(journal)
    await journal.commit(run_id(1), [absent(an_entry())], term=1)
    claim = await journal.claim(run_id(1), an_entry().step_id, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)
    assert isinstance(claim, Claimed)
    asleep = an_entry(status=StepStatus.SLEEPING, op=Op.SLEEP, attempt=1, due_at_ms=UNTIL_MS)
    with pytest.raises(ConflictError, match="not as it was found"):
        await journal.commit(run_id(1), [instead_of(an_entry(), asleep)], term=1)
    step_id = an_entry().step_id
    assert await journal.renew_claim(run_id(1), step_id, claimed_at_ms=NOW_MS, until_ms=UNTIL_MS + 1)
    await journal.commit(run_id(1), [instead_of(claim.entry, a_result())], term=None)
    assert await journal.get_entry(run_id(1), step_id) == a_result()


@pytest.mark.parametrize("place", [0, 1, 2, 3])
async def test_one_refused_write_refuses_them_all(journal: PrunedJournal, place: int):
    """A commit with one guard that fails, wherever it stands, writes nothing."""
    await create_driven(journal)
    await journal.commit(run_id(1), [absent(a_result())], term=1)
    before = await journal.load(run_id(1))
    writes: list[Write] = [absent(a_result("other")), PROGRESS, an_end()]
    writes.insert(place, instead_of(a_result(), a_result(value=2)))
    with pytest.raises(ConflictError):
        await journal.commit(run_id(1), writes, term=1)
    assert await journal.load(run_id(1)) == before


async def test_new_steps_of_a_driver_may_be_stored_apart(journal: PrunedJournal, traits: Traits):
    """Of a driver's new steps of which one exists the others are stored with a StoreError, or none with a conflict."""
    await create_driven(journal)
    await journal.commit(run_id(1), [absent(an_entry("known"))], term=1)
    writes = [absent(an_entry(name, attempt=1)) for name in ("a", "known", "b")]
    with pytest.raises(StoreError if traits.puts_new_steps_apart else ConflictError, match="known"):
        await journal.commit(run_id(1), writes, term=1)
    run = await journal.load(run_id(1))
    assert run is not None
    assert {entry.name for entry in run.entries.values()} == (
        {"a", "known", "b"} if traits.puts_new_steps_apart else {"known"}
    )
    assert run.entries[an_entry("known").step_id] == an_entry("known")


async def test_steps_of_others_are_stored_together(journal: PrunedJournal):
    """Whoever has no lease stores all new steps, or none: nobody would see what of them is missing."""
    await create_driven(journal)
    await journal.commit(run_id(1), [absent(an_entry("known"))], term=None)
    with pytest.raises(ConflictError, match="known"):
        await journal.commit(run_id(1), [absent(an_entry("a")), absent(an_entry("known"))], term=None)
    assert await journal.get_entry(run_id(1), an_entry("a").step_id) is None


async def test_a_write_that_is_not_json_refuses_them_all(journal: PrunedJournal):
    """A commit with a value that cannot be stored raises and writes nothing."""
    await create_driven(journal)
    before = await journal.load(run_id(1))
    with pytest.raises(EncodingError):
        await journal.commit(run_id(1), [absent(a_result("good")), absent(a_result(value=float("inf")))], term=1)
    assert await journal.load(run_id(1)) == before


@pytest.mark.parametrize("writes", [[an_end()], [absent(a_result()), an_end()], [absent(a_result())]], ids=len)
async def test_an_unknown_run_accepts_no_write(journal: PrunedJournal, traits: Traits, writes: list[Write]):
    """Committing to a run that does not exist is refused and creates no run."""
    if traits.keeps_late_entries and are_entries(writes):
        await journal.commit(run_id(1), writes, term=None)
    else:
        with pytest.raises(ConflictError, match="does not exist"):
            await journal.commit(run_id(1), writes, term=None)
        assert await journal.get_entry(run_id(1), a_result().step_id) is None
    assert await journal.load(run_id(1)) is None


async def test_progress_needs_the_lease(journal: PrunedJournal):
    """A caller without a term cannot write progress, nor anything along with it."""
    await create_driven(journal)
    with pytest.raises(ConflictError, match="progress"):
        await journal.commit(run_id(1), [absent(a_result()), PROGRESS], term=None)
    run = await journal.load(run_id(1))
    assert run is not None
    assert (run.header.progress, run.entries) == (Progress(), {})


def are_entries(writes: list[Write]) -> bool:
    """Whether a commit concerns the run in nothing but its entries."""
    return all(isinstance(write, PutEntry) for write in writes)


LATE_WRITES: list[tuple[str, list[Write]]] = [
    ("nothing", []),
    ("an entry", [absent(a_result())]),
    ("progress", [PROGRESS]),
    ("the end", [an_end()]),
]


@pytest.mark.parametrize("writes", [writes for _, writes in LATE_WRITES], ids=[name for name, _ in LATE_WRITES])
@pytest.mark.parametrize("how", ["taken over", "released", "never taken"])
async def test_a_term_that_is_over_writes_nothing(
    journal: PrunedJournal, traits: Traits, writes: list[Write], how: str
):
    """A driver whose lease was taken over, or released, or which never had it, is fenced off."""
    await create_driven(journal)
    if how == "taken over":
        await drive(journal, now_ms=UNTIL_MS, until_ms=UNTIL_MS + 9)
    elif how == "released":
        await journal.release(run_id(1), 1, 1, None)
    before = await journal.load(run_id(1))
    term = 2 if how == "never taken" else 1
    if traits.keeps_late_entries and are_entries(writes):
        await journal.commit(run_id(1), writes, term=term)
        assert await journal.get_header(run_id(1)) == (before and before.header)
        return
    with pytest.raises(LeaseLostError, match=f"term {term} is over"):
        await journal.commit(run_id(1), writes, term=term)
    assert await journal.load(run_id(1)) == before


async def test_an_expired_lease_still_writes_until_it_is_taken(journal: PrunedJournal):
    """A driver that overran its lease may commit as long as nobody else drives."""
    await create_driven(journal)
    await journal.renew(run_id(1), 1, UNTIL_MS)
    assert await journal.expired_leases(UNTIL_MS, 1) == [run_id(1)]
    await journal.commit(run_id(1), [PROGRESS, absent(a_result())], term=1)
    assert await journal.get_entry(run_id(1), a_result().step_id) == a_result()


@pytest.mark.parametrize("term", [None, 1])
@pytest.mark.parametrize("writes", [writes for _, writes in LATE_WRITES[1:]], ids=[name for name, _ in LATE_WRITES[1:]])
async def test_an_ended_run_accepts_no_write(
    journal: PrunedJournal, traits: Traits, writes: list[Write], term: int | None
):
    """After its end a run changes no more, whoever asks."""
    await create_driven(journal)
    await journal.commit(run_id(1), [an_end(output="first")], term=None)
    before = await journal.load(run_id(1))
    if traits.keeps_late_entries and are_entries(writes):
        await journal.commit(run_id(1), writes, term=term)
        assert await journal.get_header(run_id(1)) == (before and before.header)
        return
    with pytest.raises(ConflictError):
        await journal.commit(run_id(1), writes, term=term)
    assert await journal.load(run_id(1)) == before


async def test_a_run_may_end_along_with_its_last_entries(journal: PrunedJournal):
    """Entries and the end of the run are written together, whatever their order."""
    await create_driven(journal)
    await journal.commit(run_id(1), [absent(a_result("a")), an_end(), absent(a_result("b"))], term=1)
    run = await journal.load(run_id(1))
    assert run is not None
    assert (run.header.status, len(run.entries)) == (RunStatus.COMPLETED, 2)


async def test_a_run_ends_without_the_lease(journal: PrunedJournal):
    """A caller without a term may end a run that someone drives, and the driver then writes no more."""
    await create_driven(journal)
    await journal.commit(run_id(1), [an_end(RunStatus.CANCELLED)], term=None)
    with pytest.raises(ConflictError, match="has ended"):
        await journal.commit(run_id(1), [absent(a_result()), PROGRESS], term=1)


async def test_of_competing_results_one_wins(journal: PrunedJournal):
    """Of the results committed at once for one step exactly one is stored."""
    await create(journal)
    await journal.commit(run_id(1), [absent(an_entry())], term=None)
    writes = [instead_of(an_entry(), a_result(value=n)) for n in range(5)]
    commits = (journal.commit(run_id(1), [write], term=None) for write in writes)
    answers = await asyncio.gather(*commits, return_exceptions=True)
    (winner,) = [n for n, answer in enumerate(answers) if answer is False]
    assert await journal.get_entry(run_id(1), a_result().step_id) == a_result(value=winner)
    assert sum(isinstance(answer, ConflictError) for answer in answers) == 4


async def test_of_competing_ends_one_wins(journal: PrunedJournal):
    """A run ended at once by its driver and by a cancellation has exactly one outcome."""
    await create_driven(journal)
    ends: list[tuple[Any, int | None]] = [(an_end(RunStatus.CANCELLED), None), (an_end(RunStatus.COMPLETED), 1)]
    commits = (journal.commit(run_id(1), [end], term=term) for end, term in ends)
    answers = await asyncio.gather(*commits, return_exceptions=True)
    (winner,) = [n for n, answer in enumerate(answers) if answer is False]
    header = await journal.get_header(run_id(1))
    assert header is not None
    assert header.status is (RunStatus.CANCELLED, RunStatus.COMPLETED)[winner]
