"""``stepwell bench``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stepwell.errors import DefinitionError, WireError
from stepwell.wire.encoding import decode
from stepwell_orchestrator.cli.errors import usage_error
from stepwell_orchestrator.cli.options import AsJson
from stepwell_orchestrator.cli.terminal import print_json, standard_output

EPILOG = """Examples:

  stepwell bench cost

  stepwell bench cost --assume app_ms=40 --assume app_memory_mb=1024

  stepwell bench cost --prices eu.json --json | jq '.costs[] | {name, dollars, over}'"""


class Subject(StrEnum):
    """What can be benchmarked."""

    COST = "cost"


class LogLevel(StrEnum):
    """What the functions can be told to log."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


def bench(
    subject: Annotated[Subject, typer.Argument(metavar="WHAT", help="cost: what runs cost in AWS.")],
    *,
    waiting: Annotated[
        int, typer.Option("--waiting", min=10, max=100_000, metavar="N", help="How many wait where one is to be found.")
    ] = 1_000,
    prices: Annotated[
        Path | None,
        typer.Option("--prices", metavar="FILE", help="Your prices, a JSON object, where they differ from the list."),
    ] = None,
    assumed: Annotated[
        list[str] | None,
        typer.Option("--assume", metavar="NAME=NUMBER", help="Assume otherwise; may be repeated."),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option("--log-level", help="What is logged.")] = LogLevel.INFO,
    as_json: AsJson = False,
) -> None:
    """Count what workloads take in AWS, and price it: the deployed code, in this process, on an imitation of AWS.

    Every request, unit and message is counted; how long functions run is assumed. Takes about a minute, asks nothing of
    AWS, and needs the package moto.

    Exit codes: 0 counted, whatever the budgets say, 1 moto is missing, 2 wrong arguments.
    """
    from stepwell_orchestrator.costing.bill import Rates
    from stepwell_orchestrator.costing.durations import assume
    from stepwell_orchestrator.costing.prices import price_list

    try:
        rates = Rates(price_list(_read(prices)), assume(_pairs(assumed or ())))
    except DefinitionError as error:
        raise usage_error(str(error)) from None
    match subject:
        case Subject.COST:
            from stepwell_orchestrator.cli.bench.costs import measure
            from stepwell_orchestrator.cli.bench.printing import json_of, print_report

            report = measure(rates, waiting=waiting, log_level=log_level.value)
            if as_json:
                print_json(json_of(report, rates))
            else:
                print_report(standard_output(), report, rates)


def _read(prices: Path | None) -> Mapping[str, Any]:
    if prices is None:
        return {}
    try:
        own = decode(prices.read_bytes())
    except OSError as error:
        raise usage_error(f"{prices} cannot be read: {error.strerror}") from None
    except WireError as error:
        raise usage_error(f"{prices}: {error}") from None
    if not isinstance(own, Mapping):
        raise usage_error(f'{prices} is no JSON object; write one such as {{"write_unit": 0.705}}')
    return own


def _pairs(texts: Sequence[str]) -> dict[str, int | str]:
    """Names and values; what is no number is left for whoever knows the names to refuse."""
    pairs = (text.partition("=") for text in texts)
    return {name: int(value) if value.isascii() and value.isdigit() else value for name, _, value in pairs}
