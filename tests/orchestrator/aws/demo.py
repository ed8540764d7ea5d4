"""``make demo-aws``: the demo's orders on a whole deployment on moto, checked against what their file says."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence

from examples.orders.app import app
from stepwell.wire.times import MINUTE_MS
from stepwell_orchestrator.cli.demo.order_records import RunRecord, mismatches, read_records
from stepwell_orchestrator.cli.demo.orders import Order, clone_root, read_orders
from stepwell_orchestrator.cli.demo.summary import print_verdict
from stepwell_orchestrator.cli.terminal import standard_output
from tests.orchestrator.aws.account import Account, an_account

ORDERS = clone_root() / "examples" / "orders" / "orders.jsonl"
BATCH = 50
LONGEST_MS = 30 * MINUTE_MS
"""Far longer than the longest retries take."""


def as_sent(orders: Sequence[Order]) -> list[dict[str, object]]:
    """The events of orders, some of which come twice."""
    sent = [order for order in orders for _ in range(2 if order.sent_twice else 1)]
    return [{"name": "order/created", "id": order.id, "data": order.order} for order in sent]


def fulfil(account: Account, orders: Sequence[Order]) -> list[RunRecord]:
    """What came of orders: sent to the function URL, worked on by the queue function, which invokes the app's."""
    account.register("orders", app)
    events = as_sent(orders)
    for start in range(0, len(events), BATCH):
        account.send(*events[start : start + BATCH])
    account.advance(LONGEST_MS)
    return asyncio.run(read_records(account.bed.backend().journal))


def main() -> int:
    """Run them all; 1 when something is not as the file says."""
    # The orders are meant to run into trouble, which the functions log.
    logging.basicConfig(level=logging.ERROR)
    orders = read_orders(ORDERS)
    with an_account() as account:
        records = fulfil(account, orders)
        calls = sum(len(client.calls) for client in account.bed.clients.values())
        print(f"{len(records)} runs, {len(account.lambdas.calls)} invocations of the app, {calls} AWS calls")
    wrong = mismatches(orders, records)
    print_verdict(standard_output(), len(orders), wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
