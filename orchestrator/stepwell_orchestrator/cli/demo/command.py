"""``stepwell demo``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepwell_orchestrator.cli.demo.tally import Tally
from stepwell_orchestrator.cli.errors import EXIT_NEGATIVE
from stepwell_orchestrator.cli.options import AsJson
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import print_json, standard_output

if TYPE_CHECKING:
    from stepwell_orchestrator.cli.demo.order_records import DemoResult
    from stepwell_orchestrator.cli.demo.orders import Order
    from stepwell_orchestrator.cli.demo.progress import Show

EPILOG = """Examples:

  stepwell demo

  stepwell demo --json | jq .mismatches

  stepwell demo --url https://abc.lambda-url.eu-west-1.on.aws"""


def demo(
    orders_file: Annotated[
        Path | None,
        typer.Option("--orders", metavar="FILE", help="Orders to use instead of examples/orders/orders.jsonl."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="Send the orders to a server that has the example, as a deployed one."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the order-fulfilment example on a file of orders and check what came of every one.

    Exit codes: 0 every run ended as the file says it must, 1 one did not, 2 wrong arguments.
    """
    # The whole engine comes with these: the other commands start faster without it.
    from stepwell_orchestrator.cli.demo.order_records import mismatches
    from stepwell_orchestrator.cli.demo.orders import clone_root, read_orders
    from stepwell_orchestrator.cli.demo.progress import showing
    from stepwell_orchestrator.cli.demo.remote import tally_of
    from stepwell_orchestrator.cli.demo.summary import print_summary, print_timeline, print_verdict, summary_json

    root = clone_root()
    orders = read_orders(orders_file or root / "examples" / "orders" / "orders.jsonl")
    console, tally = standard_output(), Tally()
    if not as_json:
        troubled = sum(1 for order in orders if order.expect.retries or order.expect.error)
        console.print(f"{len(orders)} orders, {troubled} of which run into trouble")
    runs = sum(1 + sum(order.expect.runs.values()) for order in orders)
    with showing(None if as_json else console, runs) as show:
        if url is None:
            outcome = asyncio.run(_here(root, orders, tally, show))
        else:
            outcome = asyncio.run(_there(read_server(url), orders, show))
            tally = tally_of(outcome.records)
    wrong = mismatches(orders, outcome.records)
    if as_json:
        print_json(summary_json(tally, outcome.wall_ms, len(orders), wrong))
    else:
        print_summary(console, tally, outcome.wall_ms)
        print_timeline(console, outcome.records)
        print_verdict(console, len(orders), wrong)
    if wrong:
        raise typer.Exit(EXIT_NEGATIVE)


async def _here(root: Path, orders: Sequence[Order], tally: Tally, show: Show) -> DemoResult:
    """In this process, on an engine of its own."""
    from stepwell_orchestrator.cli.demo.engine import fulfil
    from stepwell_orchestrator.cli.demo.orders import load_app

    # The orders are meant to run into trouble: what the functions log about it would bury the report.
    logging.basicConfig(level=logging.ERROR)
    return await fulfil(load_app(root), orders, tally, show)


async def _there(server: Server, orders: Sequence[Order], show: Show) -> DemoResult:
    """On a server that has the example."""
    from stepwell_orchestrator.cli.client import connected
    from stepwell_orchestrator.cli.demo.remote import fulfil_remotely
    from stepwell_orchestrator.local.clock import SystemClock

    async with connected(server) as client:
        return await fulfil_remotely(client, orders, SystemClock(), show)
