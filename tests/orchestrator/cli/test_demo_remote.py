from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepwell_orchestrator.cli.client import Answer
from stepwell_orchestrator.cli.demo.order_records import mismatches
from stepwell_orchestrator.cli.demo.orders import FULFIL, Expectation, Order
from stepwell_orchestrator.cli.demo.remote import fulfil_remotely, tally_of
from stepwell_orchestrator.cli.demo.tally import Tally
from stepwell_orchestrator.model.run import RunStatus

MAIL = "shop-notify-customer"
AT = "2030-03-17T17:46:42.000Z"
LATER = "2030-03-17T17:46:42.500Z"


@dataclass
class HurriedClock:
    """A clock that jumps to whatever time is waited for."""

    at_ms: int = 0

    def now_ms(self) -> int:
        """The time that was last waited for."""
        return self.at_ms

    async def sleep_until(self, at_ms: int) -> None:
        """At once."""
        self.at_ms = at_ms


@dataclass
class Shop:
    """A server that fulfils orders at the ``slow``-th look, and then tells the customers unless it is ``forgetful``."""

    slow: int = 1
    forgetful: bool = False
    looks: int = 0
    sent: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)

    async def send_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Takes each id once."""
        self.batches.append(len(events))
        self.sent |= {event["id"]: event["data"] for event in events}

    async def every_run(self, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """A run for each order, one of somebody else's, and one for each mail."""
        assert query["app_id"] == "shop"
        self.looks += 1
        done = self.looks >= self.slow
        for event_id in (*self.sent, "of-somebody-else"):
            yield self._run(FULFIL, event_id, "Completed" if done else "Running")
            if done and not self.forgetful:
                yield self._run(MAIL, event_id, "Completed")

    def _run(self, function: str, event_id: str, status: str) -> dict[str, Any]:
        run_id = f"{function} {event_id}"
        return {"run_id": run_id, "function_id": function, "event_id": event_id, "status": status, "output": {}}

    async def event(self, internal_id: str) -> Answer:
        """Its data."""
        return Answer({"data": self.sent.get(internal_id, {"id": internal_id})}, 0)

    async def trace(self, run_id: str) -> Answer:
        """One step, tried twice."""
        step = {"name": "charge", "attempts": 2, "status": "Completed", "started_at": AT, "ended_at": LATER}
        return Answer([step], 0)


def some_orders(count: int = 3, **order: Any) -> list[Order]:
    return [Order({"id": f"o-{n}"}, Expectation("Completed", 1, {MAIL: 1}), **order) for n in range(count)]


async def shop_fulfils(shop: Shop, orders: list[Order]) -> tuple[list[str], Tally]:
    outcome = await fulfil_remotely(shop, orders, HurriedClock(), lambda _tally: None)  # type: ignore[arg-type]
    return mismatches(orders, outcome.records), tally_of(outcome.records)


async def test_what_a_server_makes_of_orders_is_found():
    """Runs are told from those of other people's orders, waited for, and counted with their steps."""
    wrong, tally = await shop_fulfils(Shop(slow=40), some_orders())
    assert wrong == []
    assert tally.runs == {(FULFIL, RunStatus.COMPLETED): 3, (MAIL, RunStatus.COMPLETED): 3}
    charged = tally.steps[FULFIL, "charge"]
    assert (charged.ended, charged.retries, charged.total_ms, charged.longest_ms) == (3, 3, 1500, 500)


async def test_what_is_missing_is_waited_for_but_not_for_ever():
    """When nothing moves any more, what is not there is reported as missing."""
    shop = Shop(forgetful=True)
    wrong, _ = await shop_fulfils(shop, some_orders(1))
    assert wrong == [f"o-0: led to the runs {{}}, expected {{'{MAIL}': 1}}"]
    assert shop.looks < 40


async def test_a_run_that_never_ends_is_shown_as_it_is():
    """After minutes of patience a run that is still under way is reported with its status."""
    wrong, _ = await shop_fulfils(Shop(slow=10**9), some_orders(1))
    assert any("status is Running, expected Completed" in line for line in wrong)


async def test_orders_are_sent_in_batches_and_some_twice():
    """Orders go out fifty at a time, and those whose event arrives twice are sent twice under one id."""
    shop = Shop()
    await shop_fulfils(shop, some_orders(60, sent_twice=True))
    assert (shop.batches, len(shop.sent)) == ([50, 50, 20], 60)
