"""What AWS asks for what the ledger counts: list prices of us-east-1, arm64, on demand, without free tiers.

As of the middle of 2026. AWS changes them, and other regions have others: ``price_list`` takes your own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from stepwell.errors import DefinitionError

_MILLION: Final = 1_000_000


class Good(StrEnum):
    """What has a price."""

    WRITE_UNIT = "write_unit"
    READ_UNIT = "read_unit"
    TABLE_GB_MONTH = "table_gb_month"
    BACKUP_GB_MONTH = "backup_gb_month"
    QUEUE_REQUEST = "queue_request"
    FAIR_QUEUE_REQUEST = "fair_queue_request"
    INVOCATION = "invocation"
    GB_SECOND = "gb_second"
    SCHEDULE = "schedule"
    OBJECT_PUT = "object_put"
    OBJECT_GET = "object_get"
    OBJECT_GB_MONTH = "object_gb_month"
    SECRET_MONTH = "secret_month"  # noqa: S105 - its price
    SECRET_CALL = "secret_call"  # noqa: S105 - its price
    LOG_GB = "log_gb"
    ALARM_MONTH = "alarm_month"
    DASHBOARD_MONTH = "dashboard_month"


@dataclass(frozen=True, slots=True)
class Price:
    """``dollars`` for ``per`` of a good. ``source`` is where the figure stands."""

    dollars: float
    per: int
    source: str


Prices = Mapping[Good, Price]

_PRICING: Final = "aws.amazon.com/{}/pricing"
_DYNAMODB: Final = _PRICING.format("dynamodb")
_SQS: Final = _PRICING.format("sqs")
_LAMBDA: Final = _PRICING.format("lambda")
_S3: Final = _PRICING.format("s3")
_SECRETS: Final = _PRICING.format("secrets-manager")
_CLOUDWATCH: Final = _PRICING.format("cloudwatch")

LIST_PRICES: Final[Prices] = MappingProxyType(
    {
        Good.WRITE_UNIT: Price(0.625, _MILLION, f"{_DYNAMODB}, on demand, since November 2024"),
        Good.READ_UNIT: Price(0.125, _MILLION, f"{_DYNAMODB}, on demand, since November 2024"),
        Good.TABLE_GB_MONTH: Price(0.25, 1, _DYNAMODB),
        Good.BACKUP_GB_MONTH: Price(0.20, 1, f"{_DYNAMODB}, point-in-time recovery"),
        Good.QUEUE_REQUEST: Price(0.40, _MILLION, f"{_SQS}, standard queues"),
        Good.FAIR_QUEUE_REQUEST: Price(0.10, _MILLION, f"{_SQS}, fair queues: on top, for messages with a group"),
        Good.INVOCATION: Price(0.20, _MILLION, _LAMBDA),
        Good.GB_SECOND: Price(13.3334, _MILLION, f"{_LAMBDA}, arm64"),
        Good.SCHEDULE: Price(1.00, _MILLION, f"{_PRICING.format('eventbridge')}, Scheduler invocations"),
        Good.OBJECT_PUT: Price(5.00, _MILLION, f"{_S3}, standard"),
        Good.OBJECT_GET: Price(0.40, _MILLION, f"{_S3}, standard"),
        Good.OBJECT_GB_MONTH: Price(0.023, 1, f"{_S3}, standard"),
        Good.SECRET_MONTH: Price(0.40, 1, _SECRETS),
        Good.SECRET_CALL: Price(5.00, _MILLION, _SECRETS),
        Good.LOG_GB: Price(0.50, 1, f"{_CLOUDWATCH}, logs collected"),
        Good.ALARM_MONTH: Price(0.10, 1, f"{_CLOUDWATCH}, standard resolution"),
        Good.DASHBOARD_MONTH: Price(3.00, 1, _CLOUDWATCH),
    }
)


def price_list(own: Mapping[str, Any]) -> Prices:
    """The list prices with one's own in their place: dollars by the good's name, for as many of it as the list has.

    Raises DefinitionError naming what is not a good or not a price.
    """
    prices = dict(LIST_PRICES)
    names = [good.value for good in Good]
    for name, amount in own.items():
        if name not in names:
            raise DefinitionError(f'"{name}" has no price here; the names are {", ".join(Good)}')
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount < float("inf"):
            raise DefinitionError(f"the price of {name} is {amount!r}; write dollars, such as 0.625")
        prices[Good(name)] = replace(prices[Good(name)], dollars=float(amount), source="given")
    return prices


def dollars(prices: Prices, good: Good, quantity: float) -> float:
    """What so much of a good costs."""
    price = prices[good]
    return price.dollars * quantity / price.per
