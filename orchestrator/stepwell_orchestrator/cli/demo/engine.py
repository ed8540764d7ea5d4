"""The demo's engine: everything in this process, on a SQLite file that is thrown away."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepwell_orchestrator.cli.demo.order_records import DemoResult, read_records
from stepwell_orchestrator.cli.demo.orders import Order
from stepwell_orchestrator.cli.demo.progress import Show
from stepwell_orchestrator.cli.demo.tally import Tally
from stepwell_orchestrator.entry.embedded import Embedded

if TYPE_CHECKING:
    from stepwell.authoring.app import App

RETRY_DELAY_MS: Final = 200
_BATCH: Final = 50
_LOOK_EVERY_MS: Final = 50
_PATIENCE_MS: Final = 60_000
"""Runs that have not ended by then are reported as they stand."""


async def fulfil(app: App, orders: Sequence[Order], tally: Tally, show: Show) -> DemoResult:
    """Send every order as an event and wait until nothing moves any more."""
    with tempfile.TemporaryDirectory(prefix="stepwell-demo-") as folder:
        database = Path(folder, "demo.db")
        async with Embedded(database, observe=tally, retry_delay_ms=RETRY_DELAY_MS) as engine:
            await engine.serve(app)
            started_ms = engine.clock.now_ms()
            events = [_event(order) for order in orders for _ in range(2 if order.sent_twice else 1)]
            for start in range(0, len(events), _BATCH):
                await engine.ingest.accept_events(events[start : start + _BATCH], None)
            while not await _is_at_rest(engine, tally) and engine.clock.now_ms() < started_ms + _PATIENCE_MS:
                await engine.clock.sleep_until(engine.clock.now_ms() + _LOOK_EVERY_MS)
                show(tally)
            wall_ms = engine.clock.now_ms() - started_ms
            return DemoResult(await read_records(engine.journal), wall_ms)


async def _is_at_rest(engine: Embedded, tally: Tally) -> bool:
    """Whether every run has ended and nothing is queued that could start another."""
    return tally.created == tally.ended and await engine.queue.next_at_ms() is None


def _event(order: Order) -> Mapping[str, Any]:
    return {"name": "order/created", "id": order.id, "data": order.order}
