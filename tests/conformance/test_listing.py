from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.ports import EventFilter, RunFilter
from tests.conformance.backends import PrunedJournal
from tests.conformance.samples import (
    NOW_MS,
    a_header,
    an_end,
    an_event,
    create,
    drive,
    event_id,
    run_id,
)

ENDED = {3: RunStatus.COMPLETED, 4: RunStatus.FAILED, 5: RunStatus.CANCELLED, 6: RunStatus.COMPLETED}


async def some_runs(journal: PrunedJournal) -> None:
    """Runs 1 to 8: 1 queued, 2 running, 3 to 6 ended, 7 of another function, 8 of another app.

    Run 2 was created last and run 8 first, so that ids and creation times do not have one order.
    """
    changes: dict[int, dict[str, Any]] = {
        2: {"created_at_ms": NOW_MS + 100},
        7: {"function_id": "shop-other"},
        8: {"function_id": "mail-send", "app_id": "mail", "created_at_ms": NOW_MS},
    }
    for number in (5, 1, 8, 3, 7, 2, 6, 4):
        await create(journal, number, **changes.get(number, {}))
    await drive(journal, 2)
    for number, status in ENDED.items():
        await journal.commit(run_id(number), [an_end(status, {"n": number})], term=None)


RUN_FILTERS: list[tuple[str, RunFilter, list[int]]] = [
    ("all", RunFilter(), [8, 7, 6, 5, 4, 3, 2, 1]),
    ("function", RunFilter(function_id="shop-fulfil"), [6, 5, 4, 3, 2, 1]),
    ("app", RunFilter(app_id="shop"), [7, 6, 5, 4, 3, 2, 1]),
    ("function of another app", RunFilter(function_id="mail-send", app_id="shop"), []),
    ("unknown function", RunFilter(function_id="shop"), []),
    ("queued", RunFilter(statuses=(RunStatus.QUEUED,)), [8, 7, 1]),
    ("running", RunFilter(statuses=(RunStatus.RUNNING,)), [2]),
    ("two statuses", RunFilter(statuses=(RunStatus.FAILED, RunStatus.COMPLETED)), [6, 4, 3]),
    ("function and status", RunFilter(function_id="shop-other", statuses=(RunStatus.QUEUED,)), [7]),
    ("app and status", RunFilter(app_id="mail", statuses=(RunStatus.QUEUED, RunStatus.FAILED)), [8]),
    ("from, inclusive", RunFilter(from_ms=NOW_MS + 5), [7, 6, 5, 2]),
    ("until, exclusive", RunFilter(until_ms=NOW_MS + 5), [8, 4, 3, 1]),
    ("a window", RunFilter(from_ms=NOW_MS + 3, until_ms=NOW_MS + 6), [5, 4, 3]),
    ("an empty window", RunFilter(from_ms=NOW_MS + 6, until_ms=NOW_MS + 6), []),
    (
        "everything at once",
        RunFilter("shop-fulfil", "shop", (RunStatus.COMPLETED, RunStatus.RUNNING), NOW_MS + 4, NOW_MS + 101),
        [6, 2],
    ),
]
RUN_FILTER_IDS = [name for name, _, _ in RUN_FILTERS]


@pytest.mark.parametrize(("wanted", "numbers"), [row[1:] for row in RUN_FILTERS], ids=RUN_FILTER_IDS)
async def test_runs_are_listed_newest_first(journal: PrunedJournal, wanted: RunFilter, numbers: list[int]):
    """A listing has exactly the runs that match every part of the filter, newest id first, as they stand."""
    await some_runs(journal)
    listed = await journal.list_runs(wanted, cursor=None, limit=50)
    assert [header.run_id for header in listed] == [run_id(number) for number in numbers]
    assert listed == [await journal.get_header(header.run_id) for header in listed]


@pytest.mark.parametrize(("wanted", "numbers"), [row[1:] for row in RUN_FILTERS], ids=RUN_FILTER_IDS)
async def test_pages_of_runs_join_without_gap_or_repeat(journal: PrunedJournal, wanted: RunFilter, numbers: list[int]):
    """Following the cursor two by two gives the whole listing."""
    await some_runs(journal)
    found: list[str] = []
    while page := await journal.list_runs(wanted, cursor=found[-1] if found else None, limit=2):
        assert len(page) <= 2
        found += [header.run_id for header in page]
    assert found == [run_id(number) for number in numbers]


async def test_a_cursor_may_name_a_run_that_does_not_match(journal: PrunedJournal):
    """A page starts below its cursor whether or not that run is in the listing."""
    await some_runs(journal)
    page = await journal.list_runs(RunFilter(statuses=(RunStatus.COMPLETED,)), cursor=run_id(5), limit=9)
    assert [header.run_id for header in page] == [run_id(3)]


async def test_a_listed_run_has_its_outcome(journal: PrunedJournal):
    """Listed headers are whole: outcome, progress and lease included."""
    await some_runs(journal)
    (header,) = await journal.list_runs(RunFilter(statuses=(RunStatus.FAILED,)), cursor=None, limit=9)
    assert header == a_header(4, outcome=an_end(RunStatus.FAILED, {"n": 4}).outcome)


async def some_events(journal: PrunedJournal) -> None:
    """Events 1 to 6: 2 and 5 are the engine's own, 3 has another name, 1 was received last."""
    await journal.put_event(an_event(1, received_at_ms=NOW_MS + 100))
    await journal.put_event(an_event(2, "inngest/function.finished"))
    await journal.put_event(an_event(3, "order/paid"))
    await journal.put_event(an_event(4))
    await journal.put_event(an_event(5, "inngest/function.failed"))
    await journal.put_event(an_event(6, "inngesting/happens"))


EVENT_FILTERS: list[tuple[str, EventFilter, list[int]]] = [
    ("users' own", EventFilter(), [6, 4, 3, 1]),
    ("all", EventFilter(include_internal=True), [6, 5, 4, 3, 2, 1]),
    ("name", EventFilter(name="order/created"), [4, 1]),
    ("unknown name", EventFilter(name="order"), []),
    ("internal name, not included", EventFilter(name="inngest/function.failed"), []),
    ("internal name", EventFilter(name="inngest/function.failed", include_internal=True), [5]),
    ("after, exclusive", EventFilter(after_ms=NOW_MS + 3), [6, 4, 1]),
    ("after, all", EventFilter(after_ms=NOW_MS + 4, include_internal=True), [6, 5, 1]),
    ("before, exclusive", EventFilter(before_ms=NOW_MS + 4), [3]),
    ("a window", EventFilter(after_ms=NOW_MS + 2, before_ms=NOW_MS + 5), [4, 3]),
    ("a window of a name", EventFilter("order/created", NOW_MS + 3, NOW_MS + 200), [4, 1]),
    ("an empty window", EventFilter(after_ms=NOW_MS + 4, before_ms=NOW_MS + 5), []),
]
EVENT_FILTER_IDS = [name for name, _, _ in EVENT_FILTERS]


@pytest.mark.parametrize(("wanted", "numbers"), [row[1:] for row in EVENT_FILTERS], ids=EVENT_FILTER_IDS)
async def test_events_are_listed_newest_first(journal: PrunedJournal, wanted: EventFilter, numbers: list[int]):
    """A listing has exactly the events that match the whole filter, newest internal id first, as they were put."""
    await some_events(journal)
    listed = await journal.list_events(wanted, cursor=None, limit=50)
    assert [event.internal_id for event in listed] == [event_id(number) for number in numbers]
    assert listed == [await journal.get_event(event.internal_id) for event in listed]


@pytest.mark.parametrize(("wanted", "numbers"), [row[1:] for row in EVENT_FILTERS], ids=EVENT_FILTER_IDS)
async def test_pages_of_events_join_without_gap_or_repeat(
    journal: PrunedJournal, wanted: EventFilter, numbers: list[int]
):
    """Following the cursor one by one gives the whole listing."""
    await some_events(journal)
    found: list[str] = []
    while page := await journal.list_events(wanted, cursor=found[-1] if found else None, limit=1):
        found += [event.internal_id for event in page]
    assert found == [event_id(number) for number in numbers]
