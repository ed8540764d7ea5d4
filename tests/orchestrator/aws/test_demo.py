"""The demo on AWS: the same orders lead to the same runs as on SQLite."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import stepwell
from examples.orders.app import app
from stepwell_orchestrator.cli.demo.order_records import RunRecord, mismatches, order_id
from stepwell_orchestrator.cli.demo.orders import Order, read_orders
from stepwell_orchestrator.views.run_view import run_body, trace_rows
from tests.examples.engine import ServedExample
from tests.orchestrator.aws.account import Account, an_account
from tests.orchestrator.aws.demo import ORDERS, as_sent, fulfil

ULID = re.compile("[0-9A-HJKMNP-TV-Z]{26}")
STEP = ("name", "op", "status", "attempts", "output", "error")


@pytest.fixture
def account() -> Iterator[Account]:
    """An empty deployment. The example's app belongs to everybody: it is left as it was."""
    transport = app.transport
    with an_account() as one:
        yield one
    app.transport = transport


def one_of_each() -> list[Order]:
    """An order of every kind: by how it ends, whether it is retried, what it leads to, and whether it comes twice."""
    kinds = {
        (order.expect.status, order.expect.retries > 0, *order.expect.runs, order.sent_twice): order
        for order in read_orders(ORDERS)
    }
    return list(kinds.values())


async def fulfil_on_sqlite(orders: Sequence[Order]) -> list[RunRecord]:
    """The same in this process."""
    events = [stepwell.Event.model_validate(event) for event in as_sent(orders)]
    async with ServedExample(app) as shop:
        runs = await shop.send(events, runs=sum(1 + sum(order.expect.runs.values()) for order in orders))
    return [RunRecord(order_id(run.events[0].data), run_body(run.header), trace_rows(run)) for run in runs]


def came_to(records: Sequence[RunRecord]) -> list[tuple[str, ...]]:
    """All that may not depend on where a run was: order, function, end and steps, but no ids and no times."""
    return sorted(
        (
            record.order_id,
            record.function_id,
            record.status,
            _without_ids(record.body["output"]),
            *sorted(_without_ids([step[name] for name in STEP]) for step in record.steps),
        )
        for record in records
    )


def _without_ids(value: Any) -> str:
    return ULID.sub("an id", json.dumps(value))


def test_orders_come_to_the_same_as_on_sqlite(account: Account):
    """Orders of every kind end on AWS as their file says, and step by step as they do on SQLite."""
    orders = one_of_each()
    records = fulfil(account, orders)
    assert mismatches(orders, records) == []
    assert account.batch() is None
    assert came_to(records) == came_to(asyncio.run(fulfil_on_sqlite(orders)))
