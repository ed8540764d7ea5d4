from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from stepwell_orchestrator.errors import ConflictError, LeaseLostError
from stepwell_orchestrator.model.run import Progress, RunHeader, RunStatus
from stepwell_orchestrator.ports import Acquired, Busy, Over, Unknown
from tests.conformance.backends import PrunedJournal
from tests.conformance.samples import (
    NOW_MS,
    UNTIL_MS,
    a_header,
    a_result,
    absent,
    an_end,
    create,
    create_driven,
    drive,
    run_id,
)

PROGRESS = Progress(request_version=2, discovered=3)


async def header_of(journal: PrunedJournal, number: int = 1) -> RunHeader:
    """The header of a run that exists."""
    header = await journal.get_header(run_id(number))
    assert header is not None
    return header


async def test_an_unknown_run_cannot_be_driven(journal: PrunedJournal):
    """Asking to drive a run that does not exist says so."""
    assert await journal.acquire(run_id(1), NOW_MS, UNTIL_MS) == Unknown()


async def test_the_first_driver_starts_the_run(journal: PrunedJournal):
    """Taking a free lease counts the wish and the term, and sets the time the run started."""
    await create(journal)
    expected = a_header(wanted=1, term=1, started_at_ms=NOW_MS, lease_until_ms=UNTIL_MS)
    assert await journal.acquire(run_id(1), NOW_MS, UNTIL_MS) == Acquired(expected, takeover=False)
    assert await header_of(journal) == expected
    assert expected.status is RunStatus.RUNNING


async def test_the_start_is_set_once(journal: PrunedJournal):
    """A later driver leaves the time the run started as it is."""
    await create_driven(journal)
    await journal.release(run_id(1), 1, 1, None)
    assert (await drive(journal, now_ms=NOW_MS + 5)).header.started_at_ms == NOW_MS


async def test_a_held_lease_is_busy_and_the_wish_is_kept(journal: PrunedJournal):
    """Asking while the lease is held changes nothing but the number of wishes."""
    await create_driven(journal)
    before = await header_of(journal)
    assert await journal.acquire(run_id(1), UNTIL_MS - 1, UNTIL_MS + 9) == Busy(UNTIL_MS)
    after = await header_of(journal)
    assert (after.wanted, after.term, after.lease_until_ms) == (2, before.term, UNTIL_MS)


async def test_an_expired_lease_is_taken_over(journal: PrunedJournal):
    """From the millisecond of its end on a lease is taken over, and the new driver is told."""
    await create_driven(journal)
    taken = await journal.acquire(run_id(1), UNTIL_MS, UNTIL_MS + 9)
    assert isinstance(taken, Acquired)
    assert taken.takeover is True
    assert (taken.header.wanted, taken.header.term, taken.header.lease_until_ms) == (2, 2, UNTIL_MS + 9)


async def test_a_released_lease_is_no_takeover(journal: PrunedJournal):
    """After a release the next driver takes a free lease, in a new term."""
    await create_driven(journal)
    assert await journal.release(run_id(1), 1, 1, None) is None
    taken = await drive(journal, now_ms=UNTIL_MS + 1)
    assert (taken.takeover, taken.header.term) == (False, 2)


async def test_a_release_stores_the_progress(journal: PrunedJournal):
    """A release with progress replaces it, and one without leaves it."""
    await create_driven(journal)
    assert await journal.release(run_id(1), 1, 1, PROGRESS) is None
    assert (await header_of(journal)).progress == PROGRESS
    await drive(journal)
    assert await journal.release(run_id(1), 2, 2, None) is None
    header = await header_of(journal)
    assert (header.progress, header.lease_until_ms) == (PROGRESS, None)


async def test_a_release_sees_a_wish_that_came_before_it(journal: PrunedJournal):
    """A release is refused with the new count when someone asked meanwhile, and nothing changes."""
    await create_driven(journal)
    await journal.acquire(run_id(1), NOW_MS, UNTIL_MS)
    before = await header_of(journal)
    assert await journal.release(run_id(1), 1, 1, PROGRESS) == 2
    assert await header_of(journal) == before
    assert await journal.release(run_id(1), 1, 2, PROGRESS) is None


async def test_a_wish_and_a_release_at_once_are_never_lost(journal: PrunedJournal):
    """Whichever of a wish and a release comes first, the run is driven by someone who saw the wish."""
    for wish_first in (True, False):
        number = 1 + wish_first
        await create_driven(journal, number)
        wish = journal.acquire(run_id(number), NOW_MS, UNTIL_MS)
        release = journal.release(run_id(number), 1, 1, None)
        if wish_first:
            acquired, released = await asyncio.gather(wish, release)
        else:
            released, acquired = await asyncio.gather(release, wish)
        assert isinstance(acquired, Acquired) is (released is None)
        assert isinstance(acquired, Busy) is (released == 2)


async def test_of_competing_drivers_one_wins(journal: PrunedJournal):
    """Of drivers that ask at once exactly one has the lease, and every wish is counted."""
    await create(journal)
    answers = await asyncio.gather(*(journal.acquire(run_id(1), NOW_MS, UNTIL_MS) for _ in range(6)))
    assert sorted(type(answer).__name__ for answer in answers) == ["Acquired", *["Busy"] * 5]
    header = await header_of(journal)
    assert (header.wanted, header.term) == (6, 1)


async def test_of_competing_takeovers_one_wins(journal: PrunedJournal):
    """Of drivers that find an expired lease at once exactly one takes it over."""
    await create_driven(journal)
    answers = await asyncio.gather(*(journal.acquire(run_id(1), UNTIL_MS, UNTIL_MS + 9) for _ in range(4)))
    assert [answer.takeover for answer in answers if isinstance(answer, Acquired)] == [True]


async def test_a_renewal_prolongs_the_current_term(journal: PrunedJournal):
    """The holder prolongs its lease, also after it has expired, until someone takes it over."""
    await create_driven(journal)
    assert await journal.renew(run_id(1), 1, UNTIL_MS + 9) is True
    assert await journal.acquire(run_id(1), UNTIL_MS, UNTIL_MS) == Busy(UNTIL_MS + 9)
    await drive(journal, now_ms=UNTIL_MS + 9, until_ms=UNTIL_MS + 99)
    assert await journal.renew(run_id(1), 1, UNTIL_MS + 999) is False
    assert (await header_of(journal)).lease_until_ms == UNTIL_MS + 99


async def test_a_released_lease_cannot_be_renewed(journal: PrunedJournal):
    """A renewal after the release is refused and leaves the lease free, as does one of an unknown run."""
    await create_driven(journal)
    await journal.release(run_id(1), 1, 1, None)
    assert await journal.renew(run_id(1), 1, UNTIL_MS) is False
    assert await journal.renew(run_id(2), 1, UNTIL_MS) is False
    assert (await header_of(journal)).lease_until_ms is None


@pytest.mark.parametrize("term", [0, 1, 3])
async def test_another_term_cannot_release(journal: PrunedJournal, term: int):
    """Releasing in a term that is not the current one raises and changes nothing."""
    await create_driven(journal)
    await drive(journal, now_ms=UNTIL_MS, until_ms=UNTIL_MS + 9)
    before = await header_of(journal)
    with pytest.raises(LeaseLostError, match=f"term {term} is over"):
        await journal.release(run_id(1), term, 2, PROGRESS)
    assert await header_of(journal) == before


async def test_a_lease_is_released_once(journal: PrunedJournal):
    """A second release of the same term raises and stores nothing."""
    await create_driven(journal)
    await journal.release(run_id(1), 1, 1, None)
    with pytest.raises(LeaseLostError):
        await journal.release(run_id(1), 1, 1, PROGRESS)
    assert (await header_of(journal)).progress == Progress()


async def test_an_ended_run_is_over_once_its_lease_is_free(journal: PrunedJournal):
    """A run ended from outside stays busy while it is driven, and is over after the release."""
    await create_driven(journal)
    await journal.commit(run_id(1), [an_end(output={"ok": True})], term=None)
    assert await journal.acquire(run_id(1), NOW_MS, UNTIL_MS) == Busy(UNTIL_MS)
    assert await journal.release(run_id(1), 1, 2, None) is None
    over = await journal.acquire(run_id(1), NOW_MS, UNTIL_MS)
    assert isinstance(over, Over)
    assert over.header.outcome == an_end(output={"ok": True}).outcome


async def test_an_ended_run_whose_driver_died_is_taken_over(journal: PrunedJournal):
    """A run ended from outside whose driver never released can be driven: what follows may be owed."""
    await create_driven(journal)
    await journal.commit(run_id(1), [an_end()], term=None)
    taken = await journal.acquire(run_id(1), UNTIL_MS, UNTIL_MS + 9)
    assert isinstance(taken, Acquired)
    assert (taken.takeover, taken.header.status) == (True, RunStatus.COMPLETED)


async def test_a_driver_frees_its_lease_with_the_end(journal: PrunedJournal):
    """A run whose driver ends it, when nobody wished for it, is over at once, and no lease of it is left."""
    await create_driven(journal)
    assert await journal.commit(run_id(1), [absent(a_result("a")), an_end()], term=1, wanted=1) is True
    over = await journal.acquire(run_id(1), NOW_MS, UNTIL_MS)
    assert isinstance(over, Over)
    assert (over.header.lease_until_ms, over.header.outcome) == (None, an_end().outcome)
    assert await journal.renew(run_id(1), 1, UNTIL_MS) is False
    assert await journal.expired_leases(UNTIL_MS, 10) == []
    with pytest.raises(LeaseLostError):
        await journal.release(run_id(1), 1, 1, None)


@pytest.mark.parametrize("many", [False, True])
async def test_an_end_after_a_wish_keeps_the_lease(journal: PrunedJournal, many: bool):
    """A run ends whoever wished for it meanwhile, but then its lease is held until it is released, and is found."""
    await create_driven(journal)
    assert await journal.acquire(run_id(1), NOW_MS, UNTIL_MS) == Busy(UNTIL_MS)
    entries = [absent(a_result(str(number))) for number in range(150 * many)]
    assert await journal.commit(run_id(1), [*entries, an_end()], term=1, wanted=1) is False
    header = await header_of(journal)
    assert (header.lease_until_ms, header.outcome) == (UNTIL_MS, an_end().outcome)
    assert await journal.expired_leases(UNTIL_MS, 10) == [run_id(1)]
    assert await journal.release(run_id(1), 1, 2, None) is None


async def test_only_an_end_frees_the_lease(journal: PrunedJournal):
    """Another write, an end by somebody else and one that is refused leave the lease as it is."""
    await create_driven(journal)
    assert await journal.commit(run_id(1), [absent(a_result())], term=1, wanted=1) is False
    assert await journal.commit(run_id(1), [an_end(RunStatus.CANCELLED)], term=None, wanted=1) is False
    with pytest.raises(ConflictError):
        await journal.commit(run_id(1), [an_end()], term=1, wanted=1)
    assert (await header_of(journal)).lease_until_ms == UNTIL_MS


async def test_expired_leases_are_found_oldest_first(journal: PrunedJournal):
    """Exactly the runs whose renewed lease has expired without a release are found, by its end, up to the limit."""
    for number in range(1, 6):
        await create(journal, number)
    for number, until_ms in ((1, NOW_MS + 30), (2, NOW_MS + 10), (3, NOW_MS + 20), (4, NOW_MS + 21)):
        await drive(journal, number)
        await journal.renew(run_id(number), 1, until_ms)
    await journal.release(run_id(3), 1, 1, None)
    assert await journal.expired_leases(NOW_MS + 9, 10) == []
    assert await journal.expired_leases(NOW_MS + 10, 10) == [run_id(2)]
    assert await journal.expired_leases(NOW_MS + 99, 10) == [run_id(2), run_id(4), run_id(1)]
    assert await journal.expired_leases(NOW_MS + 99, 2) == [run_id(2), run_id(4)]


@pytest.mark.parametrize("how", ["renewed", "wished for", "taken over"])
async def test_a_lease_is_found_once_its_first_item_may_be_gone(journal: PrunedJournal, how: str):
    """A lease that was renewed, wished for or taken over is found when it expires; a fresh one may be left out."""
    await create_driven(journal)
    assert await journal.expired_leases(UNTIL_MS, 10) in ([], [run_id(1)])
    match how:
        case "renewed":
            await journal.renew(run_id(1), 1, UNTIL_MS + 9)
        case "wished for":
            await journal.acquire(run_id(1), NOW_MS, UNTIL_MS)
        case _:
            await drive(journal, now_ms=UNTIL_MS, until_ms=UNTIL_MS + 9)
    assert await journal.expired_leases(UNTIL_MS + 9, 10) == [run_id(1)]
    await journal.release(run_id(1), 2 if how == "taken over" else 1, 1 if how == "renewed" else 2, None)
    assert await journal.expired_leases(UNTIL_MS + 9, 10) == []


async def test_a_renewed_or_taken_lease_is_not_expired(journal: PrunedJournal):
    """Renewing a lease, or taking it over, takes the run from the expired ones."""
    for number in (1, 2):
        await create(journal, number)
        await drive(journal, number)
        await journal.renew(run_id(number), 1, NOW_MS + 10)
    await journal.renew(run_id(1), 1, UNTIL_MS)
    await drive(journal, 2, now_ms=NOW_MS + 10)
    assert await journal.expired_leases(NOW_MS + 10, 10) == []


async def test_a_driver_is_woken_without_losing_its_lease(journal: PrunedJournal):
    """Waking the driver of the current term bumps the number of wishes and nothing else, so its release is refused."""
    await create_driven(journal)
    before = await header_of(journal)
    assert await journal.wake(run_id(1), 1) is True
    assert await header_of(journal) == replace(before, wanted=before.wanted + 1)
    assert await journal.release(run_id(1), 1, before.wanted, None) == before.wanted + 1


async def test_an_expired_lease_can_still_be_woken(journal: PrunedJournal):
    """Until somebody takes the lease over, its driver counts."""
    await create_driven(journal)
    assert await journal.wake(run_id(1), 1) is True
    await journal.acquire(run_id(1), UNTIL_MS, UNTIL_MS + 9)
    assert await journal.wake(run_id(1), 1) is False


@pytest.mark.parametrize("over", ["unknown", "another term", "released", "ended"])
async def test_nobody_is_woken_where_nobody_drives(journal: PrunedJournal, over: str):
    """A run that there is not, a term that is over, a lease given back and a run that ended: nothing changes."""
    if over != "unknown":
        await create_driven(journal)
    if over == "released":
        await journal.release(run_id(1), 1, 1, None)
    if over == "ended":
        await journal.commit(run_id(1), [an_end()], term=1)
    before = await journal.get_header(run_id(1))
    assert await journal.wake(run_id(1), 2 if over == "another term" else 1) is False
    assert await journal.get_header(run_id(1)) == before
