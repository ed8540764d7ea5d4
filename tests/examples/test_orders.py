from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import count

import pytest

from examples.orders.app import app
from examples.orders.models import Address, Customer, Line, Order, OrderCreated, Trouble
from stepwell_orchestrator.model.run import Run, RunStatus
from stepwell_orchestrator.model.step import StepStatus
from tests.examples.engine import ServedExample

FULFIL, FAILURE, MAIL, RESTOCK = (
    f"shop-{name}" for name in ("fulfil-order", "fulfil-order-failure", "notify-customer", "restock")
)
ids = (f"test-{number}" for number in count())


def order(*quantities: int, country: str = "DE", **trouble: object) -> OrderCreated:
    data = Order(
        id=next(ids),
        customer=Customer(name="Hanna Voß", email="hanna@example.com", loyalty_id="L-1"),
        address=Address(street="Sonnenallee 88", city="Berlin", postcode="12045", country=country),
        currency="EUR",
        lines=[
            Line(sku=f"SKU-{place}", name="Tea", quantity=quantity, unit_price=Decimal("2.50"))
            for place, quantity in enumerate(quantities)
        ],
        trouble=Trouble.model_validate(trouble),
    )
    return OrderCreated(data=data)


async def fulfilled(event: OrderCreated, *, runs: int) -> dict[str, list[Run]]:
    """All runs that an order leads to, by function."""
    async with ServedExample(app) as shop:
        found = await shop.send(event, runs=runs)
    return {name: [run for run in found if run.header.function_id == name] for name in (FULFIL, FAILURE, MAIL, RESTOCK)}


def steps(run: Run) -> Counter[tuple[str, int]]:
    """The steps of a run: how often each name ended after how many failed attempts."""
    return Counter((entry.name, entry.attempt) for entry in run.entries.values())


async def test_an_order_is_fulfilled():
    """A good order is reserved line by line, paid, rewarded and announced, and its customer told."""
    runs = await fulfilled(order(1, 3), runs=2)
    (run,) = runs[FULFIL]
    assert run.header.outcome is not None
    assert run.header.outcome.output == {
        "order_id": run.events[0].data["id"],
        "currency": "EUR",
        "goods": "10.00",
        "shipping": "4.90",
        "total": "14.90",
        "charge_id": f"ch-{run.events[0].data['id']}",
        "points": 40,
    }
    once = ("price-order", "fraud-check", "shipping-quote", "charge", "award-points", "cool-off", "announce")
    assert steps(run) == Counter({("reserve-line", 0): 2, **{(name, 0): 1 for name in once}})
    assert (len(runs[MAIL]), runs[RESTOCK], runs[FAILURE]) == (1, [], [])


async def test_a_flaky_gateway_is_retried_without_repeating_anything_else():
    """A charge that is refused twice and then accepted costs two retries of that step alone."""
    runs = await fulfilled(order(1, gateway_busy=1, gateway_timeouts=1), runs=2)
    (run,) = runs[FULFIL]
    assert run.header.status is RunStatus.COMPLETED
    assert {name: failed for name, failed in steps(run) if failed} == {"charge": 2}


async def test_a_loyalty_service_that_is_down_does_not_stop_an_order():
    """A step that fails for good is caught, and the order goes on without points."""
    runs = await fulfilled(order(1, loyalty_down=True), runs=2)
    (run,) = runs[FULFIL]
    assert run.header.outcome is not None
    assert (run.header.outcome.status, run.header.outcome.output["points"]) == (RunStatus.COMPLETED, 0)
    assert [entry.name for entry in run.entries.values() if entry.status is StepStatus.FAILED] == ["award-points"]


async def test_nearly_empty_bins_are_refilled():
    """Each article that an order nearly sold out starts a run that orders from the cheapest supplier."""
    runs = await fulfilled(order(10, 1, 11), runs=4)
    outputs = [run.header.outcome.output for run in runs[RESTOCK] if run.header.outcome]
    assert sorted(outputs) == [
        "refill of SKU-0 from Harbour Imports for 19.80",
        "refill of SKU-2 from Harbour Imports for 19.80",
    ]
    assert all(len(run.entries) == 4 for run in runs[RESTOCK])


@pytest.mark.parametrize(
    ("event", "reason", "released"),
    [
        (order(1, card_declined=True), "the card was declined", 1),
        (order(1, fraud_score=81), "held for review, fraud score 81", 1),
        (order(1, country="AQ"), "no carrier delivers to AQ", 1),
        (order(), "has no lines", 0),
    ],
)
async def test_an_order_that_cannot_be_fulfilled(event: OrderCreated, reason: str, released: int):
    """A rejected order fails at once, gives its stock back, and reaches the failure handler with the reason."""
    runs = await fulfilled(event, runs=2)
    (run,), (failure,) = runs[FULFIL], runs[FAILURE]
    assert run.header.outcome is not None
    assert failure.header.outcome is not None
    assert (run.header.status, failure.header.status) == (RunStatus.FAILED, RunStatus.COMPLETED)
    assert reason in run.header.outcome.output["message"]
    assert failure.header.outcome.output["order_id"] == event.data.id
    assert reason in failure.header.outcome.output["ticket"]
    assert steps(run)["release-stock", 0] == released
    assert (runs[MAIL], runs[RESTOCK]) == ([], [])
