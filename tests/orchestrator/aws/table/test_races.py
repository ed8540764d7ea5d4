"""Workers that step between each other's calls, in every order there is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest

from stepwell_orchestrator.aws.table.journal.journal import DynamoJournal
from stepwell_orchestrator.errors import ConflictError, LeaseLostError, StoreError
from stepwell_orchestrator.model.run import RunHeader, RunStatus
from stepwell_orchestrator.ports import Acquired, Busy, Claimed, NotClaimed, Over, Unknown
from tests.conformance.samples import (
    NOW_MS,
    UNTIL_MS,
    a_header,
    a_result,
    absent,
    an_end,
    an_entry,
    an_event,
    create,
    create_driven,
    drive,
    instead_of,
    run_id,
)
from tests.orchestrator.aws.bed import Bed

LATER_MS = UNTIL_MS + 30_000


class Pause:
    """Stops a coroutine until it is resumed by hand."""

    def __await__(self) -> Iterator[None]:
        yield


async def stepping(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Carries a call, after a stop before it."""
    await Pause()
    return work()


class Worker:
    """One worker's call of the journal, a step at a time: each step is one call of a service."""

    def __init__(self, call: Coroutine[Any, Any, Any]) -> None:
        self._call = call
        self.answer: Any = None
        self.over = False
        self.step()

    def step(self) -> None:
        """Up to the next call of a service, or the end."""
        if self.over:
            return
        try:
            self._call.send(None)
        except StopIteration as stop:
            self.answer, self.over = stop.value, True
        except (ConflictError, LeaseLostError) as error:
            self.answer, self.over = type(error), True

    def finish(self) -> None:
        """To the end."""
        while not self.over:
            self.step()


def interleaved(calls: Sequence[Coroutine[Any, Any, Any]], order: Sequence[int]) -> list[Any]:
    """The answers of calls whose steps are taken in that order, and to the end after it, one after the other."""
    workers = [Worker(call) for call in calls]
    for number in order:
        workers[number].step()
    for worker in workers:
        worker.finish()
    return [worker.answer for worker in workers]


def orders(workers: int, length: int) -> Iterator[tuple[int, ...]]:
    """Every order of so many steps."""
    return itertools.product(range(workers), repeat=length)


@pytest.fixture
def journals(bed: Bed) -> tuple[DynamoJournal, DynamoJournal, DynamoJournal]:
    """Two workers that are stepped by hand, and one that looks on."""
    return bed.backend(stepping).journal, bed.backend(stepping).journal, bed.backend().journal


async def header_of(journal: DynamoJournal, number: int) -> RunHeader:
    """The header of a run that exists."""
    header = await journal.get_header(run_id(number))
    assert header is not None
    return header


async def test_a_wish_is_seen_by_the_release_or_gets_the_lease(journals: Any):
    """However a wish and a release are interleaved, the run is driven by someone who saw the wish."""
    one, two, looker = journals
    seen = set()
    for number, order in enumerate(orders(2, 5), start=1):
        await create_driven(looker, number)
        wish = one.acquire(run_id(number), NOW_MS, UNTIL_MS)
        released, acquired = interleaved([two.release(run_id(number), 1, 1, None), wish], order)
        assert isinstance(acquired, Acquired if released is None else Busy), order
        header = await header_of(looker, number)
        assert (header.wanted, header.term) == (2, 2 if released is None else 1)
        if released is None:
            assert (acquired.takeover, acquired.header) == (False, header)
        seen.add(released)
    assert seen == {None, 2}


async def test_of_two_takeovers_one_is_told_busy(journals: Any):
    """However two workers find a lease that ran out, one takes it over and the other leaves its wish."""
    one, two, looker = journals
    for number, order in enumerate(orders(2, 5), start=1):
        await create_driven(looker, number)
        answers = interleaved([w.acquire(run_id(number), UNTIL_MS, LATER_MS) for w in (one, two)], order)
        (acquired,) = (answer for answer in answers if isinstance(answer, Acquired))
        assert Busy(LATER_MS) in answers
        assert (acquired.takeover, acquired.header.term) == (True, 2)
        assert (await header_of(looker, number)).wanted == 3


async def test_a_takeover_and_the_release_of_a_slow_driver_do_not_both_hold(journals: Any):
    """A driver that overran its lease releases it, and the next finds it free; or it is taken over and fenced off."""
    one, two, looker = journals
    seen = set()
    for number, order in enumerate(orders(2, 4), start=1):
        await create_driven(looker, number)
        take = two.acquire(run_id(number), UNTIL_MS, LATER_MS)
        released, acquired = interleaved([one.release(run_id(number), 1, 1, None), take], order)
        assert isinstance(acquired, Acquired)
        assert acquired.takeover is (released is not None)
        seen.add(released)
    assert seen == {None, LeaseLostError}


async def test_a_takeover_and_a_late_renewal_do_not_both_hold(journals: Any):
    """A renewal in time makes whoever wanted to take over leave a wish; one too late is refused."""
    one, two, looker = journals
    seen = set()
    for number, order in enumerate(orders(2, 4), start=1):
        await create_driven(looker, number)
        take = two.acquire(run_id(number), UNTIL_MS, LATER_MS + 9)
        renewed, acquired = interleaved([one.renew(run_id(number), 1, LATER_MS), take], order)
        assert acquired == Busy(LATER_MS) if renewed else acquired.header.term == 2
        seen.add(renewed)
    assert seen == {True, False}


async def test_a_run_that_ends_meanwhile_is_driven_or_over(journals: Any):
    """Whoever asks to drive while a run is ended without the lease drives it first, or is told that it is over."""
    one, two, looker = journals
    seen = set()
    for number, order in enumerate(orders(2, 4), start=1):
        await create(looker, number)
        end = one.commit(run_id(number), [an_end(RunStatus.CANCELLED)], term=None)
        ended, acquired = interleaved([end, two.acquire(run_id(number), NOW_MS, UNTIL_MS)], order)
        assert ended is False
        assert isinstance(acquired, Acquired | Over)
        seen.add(type(acquired))
    assert seen == {Acquired, Over}


async def test_a_wish_and_an_end_at_once_are_never_lost(journals: Any):
    """Of a wish and the driver's end, whichever comes first, the other knows: the lease is kept, or the run is over."""
    one, two, looker = journals
    seen = set()
    for number, order in enumerate(orders(2, 4), start=1):
        await create_driven(looker, number)
        end = one.commit(run_id(number), [an_end()], term=1, wanted=1)
        freed, acquired = interleaved([end, two.acquire(run_id(number), NOW_MS, UNTIL_MS)], order)
        assert isinstance(acquired, Over if freed else Busy)
        assert ((await header_of(looker, number)).lease_until_ms is None) is freed
        seen.add(freed)
    assert seen == {True, False}


async def test_of_an_end_and_a_cancellation_one_holds(journals: Any):
    """Of a driver's end with its last entries, and a cancellation, exactly one is written, and the other refused."""
    one, two, looker = journals
    seen = set()
    for number, order in enumerate(orders(2, 3), start=1):
        await create_driven(looker, number)
        end = one.commit(run_id(number), [absent(a_result()), an_end(RunStatus.COMPLETED)], term=1)
        cancel = two.commit(run_id(number), [an_end(RunStatus.CANCELLED)], term=None)
        answers = interleaved([end, cancel], order)
        assert sorted(answers, key=str) == [ConflictError, False]
        run = await looker.load(run_id(number))
        assert run is not None
        assert (run.header.status is RunStatus.COMPLETED) is (answers[0] is False) is bool(run.entries)
        seen.add(run.header.status)
    assert seen == {RunStatus.COMPLETED, RunStatus.CANCELLED}


async def test_of_two_results_one_is_journaled(journals: Any):
    """However two results of one step are committed, one is stored and the other refused."""
    one, two, looker = journals
    for number, order in enumerate(orders(2, 3), start=1):
        await create(looker, number)
        await looker.commit(run_id(number), [absent(an_entry())], term=None)
        commits = [
            worker.commit(run_id(number), [instead_of(an_entry(), a_result(value=n))], term=None)
            for n, worker in enumerate((one, two))
        ]
        answers = interleaved(commits, order)
        entry = await looker.get_entry(run_id(number), a_result().step_id)
        assert entry == a_result(value=answers.index(False))
        assert ConflictError in answers


async def test_a_step_is_claimed_once_however_its_run_ends_meanwhile(journals: Any):
    """Of a claim and the run's end either comes first; a claim that came through does not undo the end."""
    one, two, looker = journals
    seen = set()
    for number, order in enumerate(orders(2, 3), start=1):
        await create(looker, number)
        await looker.commit(run_id(number), [absent(an_entry())], term=None)
        claim = one.claim(run_id(number), an_entry().step_id, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)
        claimed, ended = interleaved([claim, two.commit(run_id(number), [an_end()], term=None)], order)
        assert ended is False
        assert (await header_of(looker, number)).status is RunStatus.COMPLETED
        seen.add(type(claimed))
    assert seen == {Claimed, Unknown}


async def test_of_two_claims_one_holds(journals: Any):
    """However two workers claim a step, one has it and the other is told who."""
    one, two, looker = journals
    for number, order in enumerate(orders(2, 5), start=1):
        await create(looker, number)
        await looker.commit(run_id(number), [absent(an_entry())], term=None)
        claims = [
            worker.claim(run_id(number), an_entry().step_id, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)
            for worker in (one, two)
        ]
        answers = interleaved(claims, order)
        assert sorted(type(answer).__name__ for answer in answers) == [Claimed.__name__, NotClaimed.__name__]
        assert answers[0].entry == answers[1].entry


async def test_of_two_runs_under_one_key_one_is_created(journals: Any):
    """However two runs are created under one key, one exists, and both callers learn which."""
    one, two, looker = journals
    for number, order in enumerate(orders(2, 5), start=1):
        runs = [a_header(1_000 + number), a_header(2_000 + number)]
        creations = [
            worker.create_run(header, idempotency_keys=[f"key-{number}"], expires_at_ms=UNTIL_MS)
            for worker, header in zip((one, two), runs, strict=True)
        ]
        first, second = interleaved(creations, order)
        existing = [header.run_id for header in runs if await looker.get_header(header.run_id) is not None]
        assert existing == [first] == [second]


async def test_an_event_is_found_as_soon_as_it_is_stored(journals: Any):
    """At every step of a put, whoever looks for events of the name finds the event if it is there, and no other."""
    one, _, looker = journals
    found = []
    put = Worker(one.put_event(an_event()))
    while not put.over:
        put.step()
        events = await looker.events_since("order/created", NOW_MS, after=None, limit=9)
        stored = await looker.get_event(an_event().internal_id)
        assert events == ([] if stored is None else [stored])
        found.append(bool(events))
    assert found == [False, False, True]


async def test_acquiring_gives_up_a_lease_that_never_stands_still(bed: Bed):
    """A lease that is another each time it is looked at is left to a redelivery, without a wish that nobody sees."""
    one, looker = bed.backend(stepping).journal, bed.backend().journal
    await create(looker)
    worker = Worker(one.acquire(run_id(1), NOW_MS, UNTIL_MS))
    for _ in range(10):
        taken = (await drive(looker)).header
        worker.step()
        await looker.release(run_id(1), taken.term, taken.wanted, None)
        if taken.term < 10:
            worker.step()
    with pytest.raises(StoreError, match="changed 20 times"):
        worker.step()
    assert (await header_of(looker, 1)).wanted == 10


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
async def test_a_wish_that_was_read_had_its_result_read_with_it(bed: Bed, calls: int):
    """After whichever call of a reader a result and its wish come, the run as read has both, or not the wish."""
    made = itertools.count()
    other = bed.backend().journal

    async def crossed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if next(made) == calls:
            await other.commit(run_id(1), [absent(a_result())], term=None)
            assert isinstance(await other.acquire(run_id(1), NOW_MS, UNTIL_MS), Busy)
        return work()

    await create_driven(other)
    await other.put_event(an_event())
    run = await bed.backend(crossed).journal.load(run_id(1))
    assert run is not None
    is_counted = run.header.wanted == 2
    assert is_counted or calls > 0
    assert a_result().step_id in run.entries or not is_counted
