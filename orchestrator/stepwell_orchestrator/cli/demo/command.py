"""``stepwell demo``."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from stepwell_orchestrator.cli.errors import EXIT_NEGATIVE
from stepwell_orchestrator.cli.options import AsJson
from stepwell_orchestrator.cli.terminal import print_json, standard_output
from stepwell_orchestrator.tally import Tally

EPILOG = """Examples:

  stepwell demo

  stepwell demo --json | jq .mismatches"""


def demo(
    orders_file: Annotated[
        Path | None,
        typer.Option("--orders", metavar="FILE", help="Orders to use instead of examples/orders/orders.jsonl."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the order-fulfilment example on a file of orders and check what came of every one.

    Exit codes: 0 every run ended as the file says it must, 1 one did not, 2 wrong arguments.
    """
    # The whole engine comes with these: the other commands start faster without it.
    from stepwell_orchestrator.cli.demo.engine import fulfil
    from stepwell_orchestrator.cli.demo.orders import clone_root, load_app, read_orders
    from stepwell_orchestrator.cli.demo.outcome import mismatches
    from stepwell_orchestrator.cli.demo.progress import showing
    from stepwell_orchestrator.cli.demo.summary import print_summary, print_timeline, print_verdict, summary_json

    root = clone_root()
    orders = read_orders(orders_file or root / "examples" / "orders" / "orders.jsonl")
    app = load_app(root)
    # The orders are meant to run into trouble: what the functions log about it would bury the report.
    logging.basicConfig(level=logging.ERROR)
    console, tally = standard_output(), Tally()
    if not as_json:
        troubled = sum(1 for order in orders if order.expect.retries or order.expect.error)
        console.print(f"{len(orders)} orders, {troubled} of which run into trouble")
    runs = sum(1 + sum(order.expect.runs.values()) for order in orders)
    with showing(None if as_json else console, runs) as show:
        outcome = asyncio.run(fulfil(app, orders, tally, show))
    wrong = mismatches(orders, outcome.records)
    if as_json:
        print_json(summary_json(tally, outcome.wall_ms, len(orders), wrong))
    else:
        print_summary(console, tally, outcome.wall_ms)
        print_timeline(console, outcome.records)
        print_verdict(console, len(orders), wrong)
    if wrong:
        raise typer.Exit(EXIT_NEGATIVE)
