"""The demo on a server that runs already: the orders are sent to it, and what came of them is asked of its API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell.wire.times import MINUTE_MS, SECOND_MS, format_instant, parse_instant_ms
from stepwell_orchestrator.cli.client import Client
from stepwell_orchestrator.cli.demo.order_records import DemoResult, RunRecord, order_id
from stepwell_orchestrator.cli.demo.orders import FULFIL, Order
from stepwell_orchestrator.cli.demo.progress import Show
from stepwell_orchestrator.cli.demo.tally import StepTally, Tally
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.ports import Clock
from stepwell_orchestrator.views.run_view import RUN_STATUS_NAMES

_APP_ID: Final = FULFIL.partition("-")[0]
_BATCH: Final = 50
_AT_ONCE: Final = 8
"""How many questions are asked side by side."""
_LOOK_EVERY_MS: Final = SECOND_MS
_QUIET_LOOKS: Final = 3
_QUIET_LOOKS_MAX: Final = 30
"""How often there may be nothing new before it is over: when all is there, and when something is missing."""
_SKEW_MS: Final = MINUTE_MS
"""How far the server's clock may be behind ours."""
_PATIENCE_MS: Final = 8 * MINUTE_MS
"""The orders' retries take up to four minutes by the usual back-off. What is not over then is shown as it is."""

_ENDS: Final = {
    RUN_STATUS_NAMES[status]: status for status in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
}


@dataclass(slots=True)
class _Seen:
    """What is known of the runs so far."""

    mark: str
    """What the ids of this demo's orders end with: the server may have seen the same orders before."""
    ended: dict[str, RunRecord] = field(default_factory=dict)
    open: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    """Runs of the example that came of other orders."""


async def fulfil_remotely(client: Client, orders: Sequence[Order], clock: Clock, show: Show) -> DemoResult:
    """Send every order as an event and wait until all that must come of them has ended, or nothing moves any more.

    Raises CommandError.
    """
    started_ms = clock.now_ms()
    seen = _Seen(mark=f"-{started_ms}")
    await _send(client, orders, seen.mark)
    wanted = sum(1 + sum(order.expect.runs.values()) for order in orders)
    quiet, over = 0, False
    while not over and clock.now_ms() < started_ms + _PATIENCE_MS:
        await clock.sleep_until(clock.now_ms() + _LOOK_EVERY_MS)
        before = len(seen.ended)
        await _look(client, seen, since_ms=started_ms - _SKEW_MS)
        quiet = 0 if seen.open or len(seen.ended) > before else quiet + 1
        over = quiet >= (_QUIET_LOOKS if len(seen.ended) >= wanted else _QUIET_LOOKS_MAX)
        show(tally_of(seen.ended.values()))
    unfinished = [record for record in await _records(client, seen, list(seen.open.values())) if record is not None]
    return DemoResult([*seen.ended.values(), *unfinished], clock.now_ms() - started_ms)


def tally_of(records: Iterable[RunRecord]) -> Tally:
    """The counts of ended runs. What only the server sees, its call requests, is not among them."""
    tally = Tally()
    for record in records:
        tally.created += 1
        if record.status in _ENDS:
            tally.runs[record.function_id, _ENDS[record.status]] += 1
        for step in record.steps:
            counted = tally.steps.setdefault((record.function_id, step["name"]), StepTally())
            counted.ended += step["ended_at"] is not None
            counted.failed += step["status"] == "Failed"
            counted.retries += max(int(step["attempts"]) - 1, 0)
            duration_ms = _duration_ms(step)
            counted.total_ms += duration_ms
            counted.longest_ms = max(counted.longest_ms, duration_ms)
    return tally


def _duration_ms(step: Mapping[str, Any]) -> int:
    if step["started_at"] is None or step["ended_at"] is None:
        return 0
    return parse_instant_ms(step["ended_at"]) - parse_instant_ms(step["started_at"])


async def _send(client: Client, orders: Sequence[Order], mark: str) -> None:
    repeated = [order for order in orders for _ in range(2 if order.sent_twice else 1)]
    for start in range(0, len(repeated), _BATCH):
        marked = [{**order.order, "id": order.id + mark} for order in repeated[start : start + _BATCH]]
        await client.send_events([{"name": "order/created", "id": data["id"], "data": data} for data in marked])


async def _look(client: Client, seen: _Seen, *, since_ms: int) -> None:
    query = {"app_id": _APP_ID, "from": format_instant(since_ms), "limit": "100"}
    runs = [run async for run in client.every_run(query)]
    fresh = [run for run in runs if run["run_id"] not in seen.ended and run["run_id"] not in seen.foreign]
    seen.open = {run["run_id"]: run for run in fresh if run["status"] not in _ENDS}
    done = [run for run in fresh if run["status"] in _ENDS]
    for run, record in zip(done, await _records(client, seen, done), strict=True):
        if record is None:
            seen.foreign.add(run["run_id"])
        else:
            seen.ended[run["run_id"]] = record


async def _records(client: Client, seen: _Seen, runs: Sequence[Mapping[str, Any]]) -> list[RunRecord | None]:
    """Read the runs with their orders and steps. Returns None for one that came of no order of this demo."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def record(run: Mapping[str, Any]) -> RunRecord | None:
        async with gate:
            about = order_id((await client.event(run["event_id"])).data["data"])
            if not about.endswith(seen.mark):
                return None
            return RunRecord(about.removesuffix(seen.mark), run, (await client.trace(run["run_id"])).data)

    return await asyncio.gather(*map(record, runs))
