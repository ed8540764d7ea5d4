"""A deployment from its function URL to its function and back, by the handlers that Lambda would call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import stepwell
from tests.aws.account import Account, an_account

DAY_MS = 86_400_000


@pytest.fixture
def account() -> Iterator[Account]:
    """An empty deployment."""
    with an_account() as one:
        yield one


def a_shop(**steps: Any) -> stepwell.App:
    """An app whose function runs two steps, sleeps for a month, waits for an event and runs one more."""
    app = stepwell.App("shop", dev=False)

    @app.function(on="order/created")
    async def fulfil(ctx: stepwell.Context) -> dict[str, Any]:
        step = ctx.step
        price = await step.run("price", lambda: ctx.event.data["n"] * 2)
        await step.sleep("cool-off", "30d")
        paid = await step.wait_for_event("paid", event="order/paid", timeout="7d", match="data.n")
        return {"price": price, "paid": paid is not None}

    return app


def test_an_event_becomes_a_finished_run(account: Account):
    """An event sent to the function URL starts a run that sleeps a month, is resumed by an event, and is read back."""
    account.register("shop-functions", a_shop())
    [event_id] = account.send({"name": "order/created", "data": {"n": 21}})
    account.work()
    assert account.run()["status"] == "Running"
    account.advance(30 * DAY_MS + 60_000)
    account.send({"name": "order/paid", "data": {"n": 20}}, {"name": "order/paid", "data": {"n": 21}})
    account.work()
    run = account.run()
    assert (run["status"], run["output"]) == ("Completed", {"price": 42, "paid": True})
    status, answer = account.request("GET", f"/v1/runs/{run['run_id']}/trace")
    assert (status, [(row["name"], row["status"]) for row in answer["data"]]) == (
        200,
        [("price", "Completed"), ("cool-off", "Completed"), ("paid", "Completed")],
    )
    status, answer = account.request("GET", f"/v1/events/{event_id}/runs")
    assert [row["run_id"] for row in answer["data"]] == [run["run_id"]]
    assert account.batch() is None
