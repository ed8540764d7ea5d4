"""A process may die between any two calls of AWS; whatever it was doing, the run ends as it would have."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import stepwell
from stepwell.wire.ids import hash_step_id
from stepwell.wire.times import DAY_MS, HOUR_MS
from stepwell_orchestrator.model.run import RunStatus
from stepwell_orchestrator.ports import EventFilter, RunFilter
from tests.orchestrator.aws.account import Lambdas
from tests.orchestrator.aws.bed import Bed, a_bed
from tests.orchestrator.aws.mortal import Fate, Stage

PARTS = 8
"""The boundaries are shared out, so that the parts may be tried side by side."""
LONGEST_MS = 8 * DAY_MS


class Shop:
    """An app with a step, steps side by side, a sleep and a wait. Each body notes whether its result was journaled."""

    def __init__(self) -> None:
        self.bodies: Counter[str] = Counter()
        self.again: list[str] = []
        self.bed: Bed | None = None
        self.app = stepwell.App("shop", dev=False)
        self.app.function(on="order/created", id="fulfil", retries=1)(self._fulfil)
        self.lambdas = Lambdas()
        self.lambdas.deploy("orders", self.app)

    async def _fulfil(self, ctx: stepwell.Context) -> dict[str, Any]:
        step = ctx.step
        price = await step.run("price", self._body, ctx.run_id, "price")
        both = await asyncio.gather(*(step.run(name, self._body, ctx.run_id, name) for name in ("reserve", "check")))
        await step.sleep("cool-off", "1h")
        paid = await step.wait_for_event("paid", event="order/paid", timeout="7d", match="data.id")
        return {"price": price, "both": both, "paid": paid is not None and paid.data["id"]}

    def _body(self, run_id: str, name: str) -> str:
        self.bodies[name] += 1
        assert self.bed is not None
        key = {"pk": {"S": f"r#{run_id}"}, "sk": {"S": f"s#{hash_step_id(name)}"}}
        found = self.bed.dynamodb.client.get_item(TableName=self.bed.names.table, Key=key, ConsistentRead=True)
        if "q" in found.get("Item", {}):
            self.again.append(name)
        return name.upper()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """The app."""
    shop = Shop()
    yield shop
    shop.lambdas.close()


async def live(shop: Shop, bed: Bed, fate: Fate) -> dict[str, Any]:
    """One order, whose process dies as is its fate; what became of it."""
    shop.bodies.clear()
    shop.bed = bed
    stage = Stage(bed, shop.lambdas, fate)
    await stage.register("orders")
    start_ms = bed.clock.now_ms()
    await stage.send({"name": "order/created", "id": "o-1", "data": {"id": 7}})
    await stage.work_until(start_ms + 2 * HOUR_MS)
    await stage.send({"name": "order/paid", "id": "p-1", "data": {"id": 7}})
    await stage.work_until(start_ms + LONGEST_MS)
    return await became(bed)


async def became(bed: Bed) -> dict[str, Any]:
    """All that may not depend on who died when."""
    journal = bed.backend().journal
    (header,) = await journal.list_runs(RunFilter(), cursor=None, limit=10)
    run = await journal.load(header.run_id)
    assert run is not None
    finished = EventFilter(name="inngest/function.finished", include_internal=True)
    return {
        "status": header.status,
        "outcome": header.outcome and header.outcome.output,
        "leased": header.lease_until_ms,
        "steps": {entry.name: (entry.status, entry.attempt, entry.memo) for entry in run.entries.values()},
        "told": len(await journal.list_events(finished, cursor=None, limit=10)),
        "queued": bed.next_at_ms(),
        "waits": [item["pk"]["S"] for item in bed.items() if item["pk"]["S"].startswith("p#")],
    }


@pytest.fixture(scope="module")
def unharmed(shop: Shop) -> tuple[dict[str, Any], int]:
    """What an order comes to when nobody dies, and how many boundaries there are on the way."""
    fate = Fate(None)
    with a_bed(straight=True) as bed:
        came_to = asyncio.run(live(shop, bed, fate))
    assert came_to["status"] is RunStatus.COMPLETED
    assert came_to["outcome"] == {"price": "PRICE", "both": ["RESERVE", "CHECK"], "paid": 7}
    assert (came_to["told"], came_to["leased"], came_to["queued"], came_to["waits"]) == (1, None, None, [])
    assert shop.bodies == {"price": 1, "reserve": 1, "check": 1}
    return came_to, len(fate.boundaries)


@pytest.mark.parametrize("part", range(PARTS))
def test_a_death_between_any_two_calls_is_survived(shop: Shop, unharmed: tuple[dict[str, Any], int], part: int):
    """Whenever a process dies, the run ends as without it, and no body runs again whose result was journaled."""
    expected, boundaries = unharmed
    assert boundaries > 100
    for at in range(1 + part, boundaries + 1, PARTS):
        fate = Fate(at)
        with a_bed(straight=True) as bed:
            came_to = asyncio.run(live(shop, bed, fate))
        where = f"death before boundary {at}, {' after '.join(fate.boundaries[:-3:-1])}"
        assert fate.death.is_set(), where
        assert came_to == expected, where
        assert shop.again == [], where
        assert max(shop.bodies.values()) <= 2, where
