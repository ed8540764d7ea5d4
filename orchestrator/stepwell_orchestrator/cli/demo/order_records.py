"""What came of the orders, read from the journal, and where it differs from what the file says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepwell_orchestrator.cli.demo.orders import FULFIL, Order
from stepwell_orchestrator.ports import Journal, RunFilter
from stepwell_orchestrator.terminal.display import error_text
from stepwell_orchestrator.views.run_view import run_body, trace_rows

_PAGE = 100


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run: as the API shows it, its steps, and the order it is about."""

    order_id: str
    body: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]

    @property
    def function_id(self) -> str:
        """Whose run it is."""
        return str(self.body["function_id"])

    @property
    def status(self) -> str:
        """Its status as the API spells it."""
        return str(self.body["status"])

    @property
    def retries(self) -> int:
        """Attempts of its steps beyond the first."""
        return sum(max(int(step["attempts"]) - 1, 0) for step in self.steps)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What came of the orders, and how long it took to get there."""

    records: Sequence[RunRecord]
    wall_ms: int


async def read_records(journal: Journal) -> list[RunRecord]:
    """Every run of the journal."""
    records: list[RunRecord] = []
    cursor: str | None = None
    while headers := await journal.list_runs(RunFilter(), cursor=cursor, limit=_PAGE):
        cursor = headers[-1].run_id
        for header in headers:
            run = await journal.load(header.run_id)
            assert run is not None, "a listed run can be loaded"
            records.append(RunRecord(order_id(run.events[0].data), run_body(run.header), trace_rows(run)))
    return records


def mismatches(orders: Sequence[Order], records: Sequence[RunRecord]) -> list[str]:
    """One line for everything that is not as the file says."""
    by_order: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        by_order[record.order_id].append(record)
    found = [line for order in orders for line in _order_mismatches(order, by_order.pop(order.id, []))]
    return found + [f"{unknown}: has {len(runs)} runs, but is not in the file" for unknown, runs in by_order.items()]


def _order_mismatches(order: Order, records: Sequence[RunRecord]) -> Iterator[str]:
    own = [record for record in records if record.function_id == FULFIL]
    if len(own) != 1:
        yield f"{order.id}: started {len(own)} runs of {FULFIL}, expected 1"
        return
    (run,), expect = own, order.expect
    output = run.body["output"] if isinstance(run.body["output"], dict) else {}
    checks: list[tuple[str, object, object]] = [
        ("status", run.status, expect.status),
        ("retries", run.retries, expect.retries),
    ]
    if expect.total is not None:
        checks.append(("total", output.get("total"), expect.total))
    if expect.points is not None:
        checks.append(("points", output.get("points"), expect.points))
    for name, actual, expected in checks:
        if actual != expected:
            yield f"{order.id}: {name} is {actual}, expected {expected} (run {run.body['run_id']})"
    if expect.error is not None and expect.error not in error_text(output):
        yield f'{order.id}: failed with "{error_text(output)}", expected "{expect.error}"'
    yield from _follower_mismatches(order, [record for record in records if record.function_id != FULFIL])


def _follower_mismatches(order: Order, followers: Sequence[RunRecord]) -> Iterator[str]:
    counts = Counter(record.function_id for record in followers)
    if counts != Counter(order.expect.runs):
        yield f"{order.id}: led to the runs {dict(counts)}, expected {dict(order.expect.runs)}"
    for record in followers:
        if record.status != "Completed":
            yield f"{order.id}: {record.function_id} is {record.status}, expected Completed"


def order_id(data: Mapping[str, Any]) -> str:
    """An order's own event has its id; what follows from one names it; a failure carries the event that failed."""
    if "event" in data:
        data = data["event"]["data"]
    return str(data.get("order_id") or data.get("id"))
