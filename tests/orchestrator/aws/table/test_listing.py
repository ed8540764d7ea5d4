"""Listings by what they read, and leases that an index says have run out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stepwell_orchestrator.aws.table.journal.journal import DynamoJournal
from stepwell_orchestrator.aws.table.keys import LEASE_SHARDS, LISTING_SHARDS
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.ports import EventFilter, RunFilter
from tests.conformance.samples import NOW_MS, UNTIL_MS, an_end, an_event, create, drive, run_id
from tests.orchestrator.aws.bed import Bed


@pytest.fixture
def journal(bed: Bed) -> DynamoJournal:
    return bed.backend().journal


async def some_runs(journal: DynamoJournal, count: int) -> None:
    """Runs 1 to ``count``, of which each tenth has ended and is of another function."""
    for number in range(1, count + 1):
        await create(journal, number, function_id="shop-fulfil" if number % 10 else "shop-tenth")
        if number % 10 == 0:
            await journal.commit(run_id(number), [an_end(RunStatus.FAILED)], term=None)


@pytest.mark.parametrize(
    "wanted", [RunFilter(statuses=(RunStatus.FAILED,)), RunFilter(function_id="shop-tenth")], ids=["status", "function"]
)
async def test_a_filtered_page_is_full(journal: DynamoJournal, wanted: RunFilter):
    """A page has as many runs as it may, however many that do not match lie between, and the pages join."""
    await some_runs(journal, 70)
    found: list[str] = []
    sizes = []
    while page := await journal.list_runs(wanted, cursor=found[-1] if found else None, limit=3):
        found += [header.run_id for header in page]
        sizes.append(len(page))
    assert found == [run_id(number) for number in range(70, 0, -10)]
    assert sizes == [3, 3, 1]


async def test_what_the_index_can_tell_is_not_fetched(bed: Bed, journal: DynamoJournal):
    """A filter by function fetches the headers that match, and no other."""
    await some_runs(journal, 50)
    bed.dynamodb.calls.clear()
    await journal.list_runs(RunFilter(function_id="shop-tenth"), cursor=None, limit=3)
    fetched = [parameters["RequestItems"] for name, parameters in bed.dynamodb.calls if name == "batch_get_item"]
    assert [len(request[bed.names.table]["Keys"]) for request in fetched] == [3]
    assert bed.dynamodb.count("query") == LISTING_SHARDS


async def test_the_engines_events_are_apart(bed: Bed, journal: DynamoJournal):
    """Listing people's events reads none of the engine's, however many there are."""
    for number in range(1, 40):
        await journal.put_event(an_event(number, "inngest/function.finished" if number > 3 else "order/created"))
    bed.dynamodb.calls.clear()
    assert len(await journal.list_events(EventFilter(), cursor=None, limit=9)) == 3
    assert bed.dynamodb.count("query") == LISTING_SHARDS
    assert len(await journal.list_events(EventFilter(include_internal=True), cursor=None, limit=99)) == 39


async def test_a_listed_run_that_is_gone_is_passed_over(bed: Bed, journal: DynamoJournal):
    """An entry of the index whose item was removed, as a lagging index has, is no run."""
    await some_runs(journal, 3)

    def without(do: Callable[[], dict[str, Any]], _: str) -> dict[str, Any]:
        key = {"pk": {"S": f"r#{run_id(2)}"}, "sk": {"S": "h"}}
        bed.dynamodb.client.delete_item(TableName=bed.names.table, Key=key)
        return do()

    bed.dynamodb.plan("batch_get_item", without)
    page = await journal.list_runs(RunFilter(), cursor=None, limit=3)
    assert [header.run_id for header in page] == [run_id(3), run_id(1)]


async def test_expired_leases_are_confirmed_by_the_headers(bed: Bed, journal: DynamoJournal):
    """A lease that was renewed or released since the index heard of it is not expired."""
    for number in (1, 2, 3):
        await create(journal, number)
        await drive(journal, number)
        await journal.renew(run_id(number), 1, NOW_MS + number)

    def meanwhile(do: Callable[[], dict[str, Any]], _: str) -> dict[str, Any]:
        for number, change in ((1, "SET u = :later"), (2, "REMOVE u, x")):
            bed.dynamodb.client.update_item(
                TableName=bed.names.table,
                Key={"pk": {"S": f"r#{run_id(number)}"}, "sk": {"S": "h"}},
                UpdateExpression=change,
                **({"ExpressionAttributeValues": {":later": {"N": str(UNTIL_MS)}}} if number == 1 else {}),
            )
        return do()

    bed.dynamodb.calls.clear()
    bed.dynamodb.plan("batch_get_item", meanwhile)
    assert await journal.expired_leases(NOW_MS + 9, 10) == [run_id(3)]
    assert bed.dynamodb.count("query") == LEASE_SHARDS


async def test_only_what_is_driven_for_long_is_in_the_index_of_leases(bed: Bed, journal: DynamoJournal):
    """A run that nobody drives costs the sweep nothing, nor does a short drive or a claimed step."""
    for number in range(1, 20):
        await create(journal, number)
        await drive(journal, number)
        await journal.renew(run_id(number), 1, UNTIL_MS)
        await journal.release(run_id(number), 1, 1, None)
    for number in (7, 8):
        await drive(journal, number)
    await journal.renew(run_id(7), 2, UNTIL_MS)
    entries = bed.dynamodb.scan(TableName=bed.names.table, IndexName="leases")["Items"]
    assert [entry["pk"]["S"] for entry in entries] == [f"r#{run_id(7)}"]
