"""What is forgotten, and what is not: runs that wait for long are renewed by the sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stepwell.wire.opcodes import Op
from stepwell.wire.times import DAY_MS
from stepwell_orchestrator.aws.table.journal.journal import DynamoJournal
from stepwell_orchestrator.errors import StoreError
from stepwell_orchestrator.model.decision import EndRun
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import Acquired
from tests.conformance.samples import (
    NOW_MS,
    a_result,
    absent,
    an_end,
    an_entry,
    an_event,
    create,
    event_id,
    instead_of,
    run_id,
)
from tests.orchestrator.aws.bed import Bed
from tests.orchestrator.aws.table.test_commits import noise

LIMIT = 1_000


@pytest.fixture
def journal(bed: Bed) -> DynamoJournal:
    return bed.backend().journal


def asleep(days: int) -> StepEntry:
    """A sleep that ends so many days after NOW_MS."""
    return an_entry("nap", StepStatus.SLEEPING, op=Op.SLEEP, due_at_ms=NOW_MS + days * DAY_MS)


async def waiting(journal: DynamoJournal, number: int = 1, days: int = 300) -> Run:
    """A run that has done one step and sleeps, released."""
    await journal.put_event(an_event(number))
    await create(journal, number)
    acquired = await journal.acquire(run_id(number), NOW_MS, NOW_MS + 1)
    assert isinstance(acquired, Acquired)
    await journal.commit(run_id(number), [absent(a_result()), absent(asleep(days))], term=1)
    await journal.release(run_id(number), 1, 1, None)
    return await loaded(journal, number)


async def loaded(journal: DynamoJournal, number: int = 1) -> Run:
    """A run that exists."""
    run = await journal.load(run_id(number))
    assert run is not None
    return run


async def pass_days(bed: Bed, journal: DynamoJournal, first: int, last: int, *, sweep: bool = True) -> None:
    """Days go by, with a sweep now and then, and DynamoDB forgetting as promptly as it can."""
    for day in (*range(first, last, 14), last):
        if sweep:
            assert await journal.prune(NOW_MS + day * DAY_MS, LIMIT) == 0
        bed.expire(NOW_MS + day * DAY_MS)


async def test_a_run_that_sleeps_for_most_of_a_year_is_all_there(bed: Bed, journal: DynamoJournal):
    """Header, events, links and entries of a run that waits outlive the time for which items are kept."""
    run = await waiting(journal)
    await pass_days(bed, journal, 1, 301)
    assert await loaded(journal) == run
    assert [header.run_id for header in await journal.runs_of_event(event_id(1))] == [run_id(1)]


@pytest.mark.parametrize("day", [100, 300], ids=["woken early", "woken in time"])
async def test_a_run_that_waits_again_and_again_is_all_there(bed: Bed, journal: DynamoJournal, day: int):
    """What was written between two long waits is renewed for the second one too, however long the first was to be."""
    await waiting(journal)
    await pass_days(bed, journal, 1, day)
    now_ms = NOW_MS + day * DAY_MS
    woken = replace(asleep(300), status=StepStatus.COMPLETED)
    await journal.commit(run_id(1), [instead_of(asleep(300), woken)], term=None)
    acquired = await journal.acquire(run_id(1), now_ms, now_ms + 1)
    assert isinstance(acquired, Acquired)
    second = an_entry("again", StepStatus.SLEEPING, op=Op.SLEEP, queued_at_ms=now_ms, due_at_ms=now_ms + 300 * DAY_MS)
    between = replace(a_result("between"), queued_at_ms=now_ms, ended_at_ms=now_ms)
    await journal.commit(run_id(1), [absent(between), absent(second)], term=2)
    await journal.release(run_id(1), 2, acquired.header.wanted, None)
    run = await loaded(journal)
    assert len(run.entries) == 4
    await pass_days(bed, journal, day + 1, day + 300)
    assert await loaded(journal) == run


async def test_without_a_sweep_a_run_stops_rather_than_lose_its_steps(bed: Bed, journal: DynamoJournal):
    """A run whose entries were forgotten is not driven on as if its steps had not run."""
    await waiting(journal)
    await pass_days(bed, journal, 1, 120, sweep=False)
    with pytest.raises(StoreError, match="cannot go on: its steps were only kept until"):
        await journal.acquire(run_id(1), NOW_MS + 120 * DAY_MS, NOW_MS + 121 * DAY_MS)


async def test_a_sweep_that_fails_for_a_month_harms_nothing(bed: Bed, journal: DynamoJournal):
    """Renewal begins so early that weeks without a sweep do not matter."""
    run = await waiting(journal)
    await pass_days(bed, journal, 1, 59, sweep=False)
    await pass_days(bed, journal, 60, 300)
    assert await loaded(journal) == run


async def test_a_run_that_has_ended_is_forgotten(bed: Bed, journal: DynamoJournal):
    """Nothing of a run is left when its time is up, nor of its event; until the retention has passed its header is."""
    await waiting(journal, days=1)
    await journal.commit(run_id(1), [an_end(output=noise(5_000))], term=None)
    await pass_days(bed, journal, 1, 29)
    assert await loaded(journal) is not None
    await pass_days(bed, journal, 30, 31)
    assert await journal.load(run_id(1)) is None
    await pass_days(bed, journal, 32, 92)
    left = bed.dynamodb.scan(TableName=bed.names.table)["Items"]
    assert [item["pk"]["S"] for item in left] == ["c"]


async def test_a_run_that_ends_late_is_shown_whole_for_its_retention(bed: Bed, journal: DynamoJournal):
    """The entries of a run that waited for long are there as long as its header is."""
    run = await waiting(journal, days=85)
    await pass_days(bed, journal, 1, 86)
    await journal.commit(run_id(1), [late_end(86)], term=None)
    await pass_days(bed, journal, 87, 115)
    assert (await loaded(journal)).entries == run.entries


async def test_large_results_of_waiting_runs_are_put_anew(bed: Bed, journal: DynamoJournal):
    """The bucket's lifecycle rule reckons from the last renewal."""
    await waiting(journal)
    await journal.commit(run_id(1), [absent(a_result("large", value=noise(200_000)))], term=None)
    bed.s3.calls.clear()
    await pass_days(bed, journal, 1, 40)
    assert bed.s3.count("put_object") == 1


async def test_the_look_at_all_runs_is_once_a_day_and_goes_on_where_it_stopped(bed: Bed, journal: DynamoJournal):
    """A pass takes as many sweeps as it needs, none of them with more than it may, and then rests for a day."""
    for number in range(1, 8):
        await waiting(journal, number)
    due_ms = NOW_MS + 32 * DAY_MS
    renewed = []
    for _ in range(4):
        await journal.prune(due_ms, 2)
        items = bed.dynamodb.scan(TableName=bed.names.table)["Items"]
        renewed.append(sum(int(item["z"]["N"]) > due_ms + 68 * DAY_MS for item in items if "z" in item))
    assert renewed == [2, 4, 6, 7]
    bed.dynamodb.calls.clear()
    await journal.prune(due_ms + DAY_MS - 1, 2)
    assert [name for name, _ in bed.dynamodb.calls] == ["get_item"]


async def test_a_run_that_is_driven_meanwhile_is_left_to_the_next_pass(bed: Bed, journal: DynamoJournal):
    """The header does not say that all is kept when a driver may have written since its items were read."""
    await waiting(journal)
    now_ms = NOW_MS + 40 * DAY_MS

    def driven(do: Callable[[], dict[str, Any]], _: str) -> dict[str, Any]:
        bed.dynamodb.client.update_item(
            TableName=bed.names.table,
            Key={"pk": {"S": f"r#{run_id(1)}"}, "sk": {"S": "h"}},
            UpdateExpression="SET k = k + :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
        return do()

    kept = await kept_until(bed)
    bed.dynamodb.plan("batch_get_item", driven)
    await journal.prune(now_ms, LIMIT)
    assert await kept_until(bed) == kept
    await journal.prune(now_ms + DAY_MS, LIMIT)
    assert await kept_until(bed) > kept


async def test_an_item_that_is_gone_is_not_made_anew(bed: Bed, journal: DynamoJournal):
    """Renewing writes to what exists alone."""
    await waiting(journal)

    def without_the_event(do: Callable[[], dict[str, Any]], _: str) -> dict[str, Any]:
        answer = do()
        key = {"pk": {"S": f"e#{event_id(1)}"}, "sk": {"S": "e"}}
        bed.dynamodb.client.delete_item(TableName=bed.names.table, Key=key)
        return answer

    bed.dynamodb.plan("batch_get_item", without_the_event)
    await journal.prune(NOW_MS + 40 * DAY_MS, LIMIT)
    assert await journal.get_event(event_id(1)) is None


async def kept_until(bed: Bed) -> int:
    """Until when the only run says that it is kept."""
    key = {"pk": {"S": f"r#{run_id(1)}"}, "sk": {"S": "h"}}
    return int(bed.dynamodb.get_item(TableName=bed.names.table, Key=key)["Item"]["z"]["N"])


def late_end(day: int) -> EndRun:
    """The end of a run, so many days after NOW_MS."""
    end = an_end()
    return replace(end, outcome=replace(end.outcome, ended_at_ms=NOW_MS + day * DAY_MS))
