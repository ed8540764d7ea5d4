"""What an operation costs, counted in instructions of SQLite's virtual machine, does not grow with the past."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from stepwell_orchestrator.local.backend import LocalBackend
from stepwell_orchestrator.model.queue_item import Drive, QueueItem
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.ports import EventFilter, RunFilter
from tests.conformance.samples import (
    NOW_MS,
    UNTIL_MS,
    a_header,
    a_pause,
    a_result,
    a_signal_wait,
    absent,
    an_end,
    an_entry,
    an_event,
    create,
    create_driven,
    event_id,
    run_id,
)

FEW, MANY = 300, 3_000
NEW = 1_000_000
SHAPE = a_pause().shape
NEW_MS = NOW_MS + NEW

Operation = Callable[[LocalBackend], Awaitable[object]]

OPERATIONS: list[tuple[str, Operation]] = [
    ("put_event", lambda b: b.journal.put_event(an_event(NEW + 1))),
    ("get_event", lambda b: b.journal.get_event(event_id(7))),
    (
        "create_run",
        lambda b: b.journal.create_run(a_header(NEW + 1), idempotency_keys=["new", "newer"], expires_at_ms=UNTIL_MS),
    ),
    ("load", lambda b: b.journal.load(run_id(NEW))),
    ("run_of", lambda b: b.journal.run_of(a_header(NEW))),
    ("get_header", lambda b: b.journal.get_header(run_id(NEW))),
    ("get_entry", lambda b: b.journal.get_entry(run_id(NEW), an_entry().step_id)),
    ("claim", lambda b: b.journal.claim(run_id(NEW), an_entry().step_id, 0, now_ms=NOW_MS, until_ms=UNTIL_MS)),
    (
        "renew_claim",
        lambda b: b.journal.renew_claim(run_id(NEW), an_entry().step_id, claimed_at_ms=0, until_ms=UNTIL_MS),
    ),
    ("renew", lambda b: b.journal.renew(run_id(NEW), 1, UNTIL_MS)),
    ("wake", lambda b: b.journal.wake(run_id(NEW), 2)),
    ("release", lambda b: b.journal.release(run_id(NEW), 1, 1, None)),
    ("acquire", lambda b: b.journal.acquire(run_id(NEW), NOW_MS, UNTIL_MS)),
    ("commit", lambda b: b.journal.commit(run_id(NEW), [absent(a_result("x"))], term=2)),
    ("expired_leases", lambda b: b.journal.expired_leases(UNTIL_MS, 10)),
    ("runs_of_event", lambda b: b.journal.runs_of_event(event_id(7))),
    ("prune", lambda b: b.journal.prune(NOW_MS, 10)),
    ("list runs", lambda b: b.journal.list_runs(RunFilter(), cursor=None, limit=5)),
    ("list a page of runs", lambda b: b.journal.list_runs(RunFilter(), cursor=run_id(100), limit=5)),
    (
        "list runs of a rare status",
        lambda b: b.journal.list_runs(RunFilter(statuses=(RunStatus.RUNNING,)), cursor=None, limit=5),
    ),
    (
        "list a function's runs of a rare status",
        lambda b: b.journal.list_runs(RunFilter("shop-fulfil", statuses=(RunStatus.RUNNING,)), cursor=None, limit=5),
    ),
    (
        "list an app's runs of a rare status",
        lambda b: b.journal.list_runs(RunFilter(app_id="shop", statuses=(RunStatus.RUNNING,)), cursor=None, limit=5),
    ),
    ("list new runs", lambda b: b.journal.list_runs(RunFilter(from_ms=NEW_MS), cursor=None, limit=5)),
    (
        "list new runs of a status",
        lambda b: b.journal.list_runs(RunFilter(statuses=(RunStatus.COMPLETED,), from_ms=NEW_MS), cursor=None, limit=5),
    ),
    ("list events", lambda b: b.journal.list_events(EventFilter(), cursor=None, limit=5)),
    ("list all events", lambda b: b.journal.list_events(EventFilter(include_internal=True), cursor=None, limit=5)),
    ("list new events", lambda b: b.journal.list_events(EventFilter(after_ms=NEW_MS - 1), cursor=None, limit=5)),
    ("list events of a rare name", lambda b: b.journal.list_events(EventFilter("rare"), cursor=None, limit=5)),
    (
        "list events of an internal name",
        lambda b: b.journal.list_events(EventFilter("inngest/function.finished"), cursor=None, limit=5),
    ),
    ("events_since", lambda b: b.journal.events_since("rare", NOW_MS, after=None, limit=5)),
    ("a page of events_since", lambda b: b.journal.events_since("order/created", NOW_MS + 9, after=None, limit=5)),
    ("put_pause", lambda b: b.waits.put_pause(a_pause(NEW, index="new"))),
    ("shapes", lambda b: b.waits.shapes("order/paid")),
    ("pauses that match", lambda b: b.waits.pauses("order/paid", SHAPE, "7", after=None, limit=500)),
    ("pauses when none matches", lambda b: b.waits.pauses("order/paid", SHAPE, "none", after=None, limit=500)),
    ("a page of pauses", lambda b: b.waits.pauses("tick", SHAPE, "same", after=a_pause(9, "tick").key, limit=5)),
    ("drop_pauses", lambda b: b.waits.drop_pauses([a_pause(7, index="7").key, a_pause(NEW, index="new").key])),
    ("take_signal", lambda b: b.waits.take_signal(a_signal_wait(NEW, "new"), replace=False, now_ms=NOW_MS)),
    ("get_signal", lambda b: b.waits.get_signal("signal-7")),
    ("drop_signal", lambda b: b.waits.drop_signal(a_signal_wait(7, "signal-7"))),
    ("send", lambda b: b.queue.send([QueueItem("new", Drive(run_id(NEW), "test"), NOW_MS)])),
    ("receive", lambda b: b.queue.receive(10, NOW_MS, UNTIL_MS)),
    ("next_at_ms", lambda b: b.queue.next_at_ms()),
    ("holds", lambda b: b.queue.holds("item-7")),
    ("items_of_run", lambda b: b.queue.items_of_run(run_id(NEW))),
    ("end", lambda b: b.journal.commit(run_id(NEW), [an_end()], term=2)),
]


async def with_a_past(size: int) -> LocalBackend:
    """A backend with ``size`` ended runs, events of users and engine, keys, waits and sleepers, and one live run."""
    backend = LocalBackend.open(None)
    for number in range(size):
        await backend.journal.put_event(an_event(number))
        await backend.journal.put_event(an_event(size + number, "inngest/function.finished"))
        keys = [f"key-{number}", f"other-{number}"]
        await backend.journal.create_run(a_header(number), idempotency_keys=keys, expires_at_ms=UNTIL_MS)
        await backend.journal.commit(run_id(number), [absent(a_result()), an_end()], term=None)
        await backend.waits.put_pause(a_pause(number, index=str(number)))
        await backend.waits.put_pause(a_pause(number, "tick", "same"))
        await backend.waits.take_signal(a_signal_wait(number, f"signal-{number}"), replace=False, now_ms=NOW_MS)
        await backend.queue.send([QueueItem(f"item-{number}", Drive(run_id(number), "test"), UNTIL_MS)])
    await backend.journal.put_event(replace(an_event(NEW), name="rare"))
    await create(backend.journal, NEW)
    await create_driven(backend.journal, NEW)
    await backend.journal.commit(run_id(NEW), [absent(an_entry())], term=1)
    return backend


async def instructions(backend: LocalBackend, operation: Operation) -> int:
    """How many instructions an operation takes."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    async with backend.database.read() as db:
        db.set_progress_handler(step, 1)
    await operation(backend)
    async with backend.database.read() as db:
        db.set_progress_handler(None, 1)
    return count


async def test_no_operation_costs_more_for_a_longer_past():
    """With ten times as many past runs and events every operation takes the same instructions, or next to."""
    few, many = await with_a_past(FEW), await with_a_past(MANY)
    costs = {
        name: (await instructions(few, operation), await instructions(many, operation))
        for name, operation in OPERATIONS
    }
    assert {name: cost for name, cost in costs.items() if cost[1] > cost[0] * 1.1 + 20} == {}
    few.close()
    many.close()
