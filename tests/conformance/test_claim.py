from __future__ import annotations

import asyncio

import pytest

from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import Claim, Claimed, NotClaimed, Unknown
from tests.conformance.backends import PrunedJournal
from tests.conformance.samples import (
    NOW_MS,
    UNTIL_MS,
    a_result,
    absent,
    an_end,
    an_entry,
    create,
    instead_of,
    run_id,
)

STEP = an_entry().step_id


async def stored(journal: PrunedJournal, entry: StepEntry) -> StepEntry:
    """A run with that one entry."""
    await create(journal)
    await journal.commit(run_id(1), [absent(entry)], term=None)
    return entry


async def claim(journal: PrunedJournal, *, attempt: int = 0, now_ms: int = NOW_MS, until_ms: int = UNTIL_MS) -> Claim:
    """Claim the step of the only run."""
    return await journal.claim(run_id(1), STEP, attempt, now_ms=now_ms, until_ms=until_ms)


async def renew(journal: PrunedJournal, until_ms: int) -> bool:
    """Prolong the claim that ``claim`` makes."""
    return await journal.renew_claim(run_id(1), STEP, claimed_at_ms=NOW_MS, until_ms=until_ms)


@pytest.mark.parametrize(
    "entry",
    [
        an_entry(opts={"x": 1}, race=True),
        an_entry(status=StepStatus.ERRORED, attempt=2, started_at_ms=NOW_MS - 9, error={"name": "E"}),
        an_entry(status=StepStatus.RUNNING, started_at_ms=NOW_MS - 9, claim_until_ms=NOW_MS),
    ],
    ids=["planned", "errored", "claim expired"],
)
async def test_a_claim_makes_the_entry_running(journal: PrunedJournal, entry: StepEntry):
    """A claimed entry runs until the claim's end, its start is set if it had none, and all else stays."""
    await stored(journal, entry)
    claimed = await claim(journal, attempt=entry.attempt)
    assert isinstance(claimed, Claimed)
    assert (claimed.entry.status, claimed.entry.claim_until_ms) == (StepStatus.RUNNING, UNTIL_MS)
    assert claimed.entry.claimed_at_ms == NOW_MS
    assert claimed.entry.started_at_ms == (entry.started_at_ms or NOW_MS)
    assert (claimed.entry.attempt, claimed.entry.opts, claimed.entry.error) == (entry.attempt, entry.opts, entry.error)
    assert await journal.get_entry(run_id(1), STEP) == claimed.entry


@pytest.mark.parametrize(
    "entry",
    [
        a_result(),
        an_entry(status=StepStatus.FAILED),
        an_entry(status=StepStatus.TIMED_OUT),
        an_entry(status=StepStatus.DROPPED),
        an_entry(status=StepStatus.SLEEPING),
        an_entry(status=StepStatus.WAITING),
        an_entry(attempt=1),
        an_entry(status=StepStatus.RUNNING, claim_until_ms=NOW_MS + 1),
    ],
    ids=["completed", "failed", "timed out", "dropped", "sleeping", "waiting", "another attempt", "claimed"],
)
async def test_what_cannot_be_claimed_is_refused(journal: PrunedJournal, entry: StepEntry):
    """A refused claim returns the entry that is why, and changes nothing."""
    await stored(journal, entry)
    assert await claim(journal) == NotClaimed(entry)
    assert await journal.get_entry(run_id(1), STEP) == entry


async def test_what_does_not_exist_is_unknown(journal: PrunedJournal):
    """A claim of an unknown run, of an unknown step, or of a run that has ended is Unknown and writes nothing."""
    assert await claim(journal) == Unknown()
    await create(journal)
    assert await claim(journal) == Unknown()
    await journal.commit(run_id(1), [absent(an_entry()), an_end()], term=None)
    assert await claim(journal) == Unknown()
    assert await journal.get_entry(run_id(1), STEP) == an_entry()


async def test_of_competing_claims_one_wins(journal: PrunedJournal):
    """Of the workers that claim a step at once exactly one executes it."""
    await stored(journal, an_entry())
    answers = await asyncio.gather(*(claim(journal) for _ in range(6)))
    assert sorted(type(answer).__name__ for answer in answers) == ["Claimed", *["NotClaimed"] * 5]


async def test_a_claim_is_prolonged(journal: PrunedJournal):
    """A renewed claim keeps others out until its new end, and not longer."""
    await stored(journal, an_entry())
    await claim(journal)
    assert await renew(journal, UNTIL_MS + 9) is True
    assert isinstance(await claim(journal, now_ms=UNTIL_MS + 8, until_ms=UNTIL_MS + 99), NotClaimed)
    assert isinstance(await claim(journal, now_ms=UNTIL_MS + 9, until_ms=UNTIL_MS + 99), Claimed)


@pytest.mark.parametrize(
    "after",
    [a_result(), an_entry(status=StepStatus.ERRORED, attempt=1), an_entry(status=StepStatus.RUNNING, attempt=1)],
    ids=["finished", "failed an attempt", "running another attempt"],
)
async def test_a_claim_that_is_over_is_not_prolonged(journal: PrunedJournal, after: StepEntry):
    """Renewing says so when the entry is not RUNNING by that claim any more, and changes nothing."""
    await stored(journal, an_entry())
    claimed = await claim(journal)
    assert isinstance(claimed, Claimed)
    await journal.commit(run_id(1), [instead_of(claimed.entry, after)], term=None)
    assert await renew(journal, UNTIL_MS + 9) is False
    assert await journal.get_entry(run_id(1), STEP) == after


async def test_a_claim_that_ran_out_is_not_prolonged_by_who_lost_it(journal: PrunedJournal):
    """Of two claims of one attempt only the later one can be prolonged."""
    await stored(journal, an_entry())
    await claim(journal)
    await claim(journal, now_ms=UNTIL_MS, until_ms=UNTIL_MS + 9)
    assert await renew(journal, UNTIL_MS + 99) is False
    assert await journal.renew_claim(run_id(1), STEP, claimed_at_ms=UNTIL_MS, until_ms=UNTIL_MS + 99) is True


async def test_a_claim_that_never_was_is_not_prolonged(journal: PrunedJournal):
    """Renewing the claim of an unknown step is refused."""
    await create(journal)
    assert await renew(journal, UNTIL_MS) is False
