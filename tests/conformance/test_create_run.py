from __future__ import annotations

import asyncio

from tests.conformance.backends import PrunedJournal
from tests.conformance.samples import (
    NOW_MS,
    a_header,
    a_result,
    absent,
    an_event,
    create,
    create_driven,
    event_id,
    run_id,
)

from stepwell_orchestrator.model.run import Progress, Run
from stepwell_orchestrator.model.step import Place

KEY = "shop-fulfil/order-7"
LATER_MS = NOW_MS + 86_400_000


async def under_key(
    journal: PrunedJournal, number: int, *, created_at_ms: int = NOW_MS, expires_at_ms: int = LATER_MS
) -> str:
    """Create run ``number`` under KEY."""
    header = a_header(number, created_at_ms=created_at_ms)
    return await journal.create_run(header, idempotency_keys=[KEY], expires_at_ms=expires_at_ms)


async def test_a_created_run_is_there_as_given(journal: PrunedJournal):
    """A new run's header is the one it was created with."""
    header = a_header(
        event_ids=(event_id(1), event_id(2)),
        original_run_id=run_id(9),
        progress=Progress(2, 3, 1, 4, {"step": Place(1, 0)}, {1: 2, 10: 0}),
    )
    assert await journal.create_run(header, idempotency_keys=(), expires_at_ms=LATER_MS) == header.run_id
    assert await journal.get_header(header.run_id) == header


async def test_an_unknown_run_is_none(journal: PrunedJournal):
    """A run id that was never created has neither header nor run."""
    assert await journal.get_header(run_id(1)) is None
    assert await journal.load(run_id(1)) is None


async def test_a_loaded_run_has_its_events_and_entries(journal: PrunedJournal):
    """Loading gives the header, the events in the header's order and every entry of this run alone."""
    for number in (1, 2):
        await journal.put_event(an_event(number))
    await create(journal, 1, event_ids=(event_id(2), event_id(1)))
    await create(journal, 2)
    first, second = a_result("first"), a_result("second")
    await journal.commit(run_id(1), [absent(first), absent(second)], term=None)
    await journal.commit(run_id(2), [absent(a_result("other"))], term=None)
    assert await journal.load(run_id(1)) == Run(
        a_header(1, event_ids=(event_id(2), event_id(1))),
        (an_event(2), an_event(1)),
        {first.step_id: first, second.step_id: second},
    )


async def test_creating_a_run_again_changes_nothing(journal: PrunedJournal):
    """An identical call returns the run's id and leaves what the run has become."""
    await create_driven(journal)
    before = await journal.get_header(run_id(1))
    assert await create(journal) == run_id(1)
    assert await journal.get_header(run_id(1)) == before


async def test_the_same_run_under_its_key_again_changes_nothing(journal: PrunedJournal):
    """An identical call with a key returns the run's id, and the run is not started anew."""
    assert await under_key(journal, 1) == run_id(1)
    await journal.acquire(run_id(1), NOW_MS, LATER_MS)
    before = await journal.get_header(run_id(1))
    assert await under_key(journal, 1) == run_id(1)
    assert await journal.get_header(run_id(1)) == before


async def test_a_taken_key_keeps_another_run_out(journal: PrunedJournal):
    """A run whose key another run holds is not created, and the holder's id is returned."""
    await under_key(journal, 1)
    assert await under_key(journal, 2) == run_id(1)
    assert await journal.get_header(run_id(2)) is None
    assert await journal.runs_of_event(event_id(2)) == []


async def test_a_key_counts_until_the_millisecond_before_its_expiry(journal: PrunedJournal):
    """A key holds strictly before its expiry, judged by the new run's creation time."""
    await under_key(journal, 1, expires_at_ms=LATER_MS)
    assert await under_key(journal, 2, created_at_ms=LATER_MS - 1) == run_id(1)
    assert await under_key(journal, 3, created_at_ms=LATER_MS, expires_at_ms=LATER_MS + 10) == run_id(3)
    assert await under_key(journal, 4, created_at_ms=LATER_MS + 9) == run_id(3)


async def test_a_run_whose_key_expired_is_not_created_twice(journal: PrunedJournal):
    """Creating a run that exists changes nothing even when its key has expired."""
    await under_key(journal, 1)
    await journal.acquire(run_id(1), NOW_MS, LATER_MS)
    before = await journal.get_header(run_id(1))
    assert await under_key(journal, 1, created_at_ms=LATER_MS) == run_id(1)
    assert await journal.get_header(run_id(1)) == before


async def test_runs_without_a_key_do_not_compete(journal: PrunedJournal):
    """Without a key every run id stands for itself."""
    assert [await create(journal, number) for number in (1, 2)] == [run_id(1), run_id(2)]


async def test_of_competing_creations_one_wins(journal: PrunedJournal):
    """Of different runs created at once under one key exactly one exists, and all callers learn which."""
    winners = await asyncio.gather(*(under_key(journal, number) for number in range(5)))
    headers = [await journal.get_header(run_id(number)) for number in range(5)]
    assert len(set(winners)) == 1
    assert [header.run_id for header in headers if header is not None] == winners[:1]


async def test_pruning_forgets_expired_keys_alone(journal: PrunedJournal):
    """Pruning removes as many expired keys as it may, and a key that still counts stays."""
    for number, expires_at_ms in ((1, NOW_MS), (2, NOW_MS + 1), (3, NOW_MS + 2)):
        await journal.create_run(a_header(number), idempotency_keys=[f"key-{number}"], expires_at_ms=expires_at_ms)
    assert await journal.prune(NOW_MS + 1, 1) == 1
    assert await journal.prune(NOW_MS + 1, 10) == 1
    assert await journal.prune(NOW_MS + 1, 10) == 0
    rival = a_header(4, created_at_ms=NOW_MS)
    assert await journal.create_run(rival, idempotency_keys=["key-3"], expires_at_ms=LATER_MS) == run_id(3)
