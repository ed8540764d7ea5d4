from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell.wire.times import DAY_MS
from stepwell_orchestrator.model.pause import PauseKey
from stepwell_orchestrator.model.run import Invoker, Progress, Run
from stepwell_orchestrator.model.step import Place
from stepwell_orchestrator.ports import RunFilter
from tests.conformance.backends import PrunedJournal, Traits
from tests.conformance.samples import (
    NOW_MS,
    a_header,
    a_result,
    absent,
    an_end,
    an_event,
    create,
    create_driven,
    drive,
    event_id,
    run_id,
)

KEY = "shop-fulfil/order-7"
LATER_MS = NOW_MS + DAY_MS


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
        invoked_by=Invoker(run_id(8), "step"),
        cancellations=(
            PauseKey("order/cancelled", "0f", run_id(1), "cancel:0"),
            PauseKey("é", "", run_id(1), "cancel:1"),
        ),
        progress=Progress(2, 3, 1, 5, 4, {"step": Place(1, 0)}, {1: 2, 10: 0}),
    )
    assert await journal.create_run(header, idempotency_keys=(), expires_at_ms=LATER_MS) == header.run_id
    assert await journal.get_header(header.run_id) == header


@pytest.mark.parametrize(
    "changes",
    [
        {"original_run_id": run_id(9)},
        {"invoked_by": Invoker(run_id(8), "step")},
        {"cancellations": (PauseKey("order/cancelled", "0f", run_id(1), "cancel:0"),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_where_a_run_comes_from_is_kept(journal: PrunedJournal, changes: dict[str, Any]):
    """Each of a run's origins is kept without the others, and through drives, commits and the run's end."""
    await create(journal, **changes)
    await drive(journal)
    await journal.commit(run_id(1), [an_end()], term=1)
    for header in (await journal.get_header(run_id(1)), *await journal.list_runs(RunFilter(), cursor=None, limit=9)):
        assert header is not None
        origins = {name: getattr(header, name) for name in ("original_run_id", "invoked_by", "cancellations")}
        assert origins == {"original_run_id": None, "invoked_by": None, "cancellations": (), **changes}


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


async def under_keys(journal: PrunedJournal, number: int, *keys: str, created_at_ms: int = NOW_MS) -> str:
    """Create run ``number`` under several keys for a day."""
    header = a_header(number, created_at_ms=created_at_ms)
    return await journal.create_run(header, idempotency_keys=keys, expires_at_ms=created_at_ms + DAY_MS)


@pytest.mark.parametrize("keys", [["a"], ["b"], ["a", "b"], ["b", "a"], ["c", "b"], ["a", "c"]], ids="-".join)
async def test_one_taken_key_keeps_a_run_out(journal: PrunedJournal, keys: list[str]):
    """A run is created only when all of its keys are free, in whatever order they are given."""
    assert await under_keys(journal, 1, "a", "b") == run_id(1)
    assert await under_keys(journal, 2, *keys) == run_id(1)
    assert await journal.get_header(run_id(2)) is None


async def test_a_refused_run_takes_none_of_its_keys(journal: PrunedJournal):
    """The keys that were free stay free when another one was taken."""
    await under_keys(journal, 1, "a")
    await under_keys(journal, 2, "b", "a", "c")
    assert [await under_keys(journal, 3, "b"), await under_keys(journal, 4, "c")] == [run_id(3), run_id(4)]


async def test_keys_taken_by_two_runs_name_one_of_them(journal: PrunedJournal):
    """When several keys are taken the answer is one of the runs that hold them."""
    await under_keys(journal, 1, "a")
    await under_keys(journal, 2, "b")
    assert await under_keys(journal, 3, "a", "b") in (run_id(1), run_id(2))
    assert await journal.get_header(run_id(3)) is None


async def test_the_same_run_under_its_keys_again_changes_nothing(journal: PrunedJournal):
    """An identical call with several keys returns the run's id, and the run is as it has become."""
    await under_keys(journal, 1, "a", "b")
    await drive(journal)
    before = await journal.get_header(run_id(1))
    assert await under_keys(journal, 1, "a", "b") == run_id(1)
    assert await journal.get_header(run_id(1)) == before


async def test_expired_keys_are_free_one_by_one(journal: PrunedJournal):
    """A key that has expired does not keep a run out; one that was taken later still does."""
    await under_keys(journal, 1, "a")
    await under_keys(journal, 2, "b", created_at_ms=NOW_MS + 5)
    late_ms = NOW_MS + DAY_MS
    assert await under_keys(journal, 3, "a", "b", created_at_ms=late_ms) == run_id(2)
    assert await under_keys(journal, 4, "a", created_at_ms=late_ms) == run_id(4)


async def test_of_runs_that_share_a_key_one_wins(journal: PrunedJournal):
    """Of runs created at once, each under a key of its own and one they share, exactly one exists."""
    answers = await asyncio.gather(*(under_keys(journal, n, f"own-{n}", "shared") for n in range(1, 6)))
    headers = [await journal.get_header(run_id(number)) for number in range(1, 6)]
    assert len(set(answers)) == 1
    assert [header.run_id for header in headers if header is not None] == [answers[0]]


async def test_pruning_forgets_expired_keys_alone(journal: PrunedJournal, traits: Traits):
    """Pruning removes as many expired keys as it may, and a key that still counts stays, as long as it counts."""
    for number, expires_at_ms in ((1, NOW_MS), (2, NOW_MS + 1), (3, NOW_MS + 2)):
        await journal.create_run(a_header(number), idempotency_keys=[f"key-{number}"], expires_at_ms=expires_at_ms)
    assert await journal.prune(NOW_MS + 1, 1) == traits.prunes
    assert await journal.prune(NOW_MS + 1, 10) == traits.prunes
    assert await journal.prune(NOW_MS + 1, 10) == 0
    rival = a_header(4, created_at_ms=NOW_MS)
    assert await journal.create_run(rival, idempotency_keys=["key-3"], expires_at_ms=LATER_MS) == run_id(3)
    rival = a_header(4, created_at_ms=NOW_MS + 1)
    assert await journal.create_run(rival, idempotency_keys=["key-1", "key-2"], expires_at_ms=LATER_MS) == run_id(4)
