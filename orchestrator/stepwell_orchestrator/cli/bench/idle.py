"""What a deployed stack costs in a month in which nothing happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stepwell_orchestrator.costing.bill import Rates, Work, bill
from stepwell_orchestrator.costing.prices import Good, dollars

MINUTES: Final = 43_830
"""In a month: 365.25 days in twelve parts."""
POLLERS: Final = 5
"""How many poll the queue for Lambda, at least, when the mapping has a bound on its concurrency."""
POLLS_PER_MINUTE: Final = 3
"""Of each of them: a poll waits for 20 seconds."""
MINUTES_PER_LOOK: Final = 15
"""How often the sweep looks for dead letters."""
SECRETS: Final = 2
ALARMS: Final = 8
DASHBOARDS: Final = 1


def month(sweep: Work, rates: Rates) -> Mapping[str, float]:
    """Dollars, by what they are for. ``sweep`` is one sweep."""
    prices = rates.prices
    polls = POLLERS * POLLS_PER_MINUTE * MINUTES + MINUTES // MINUTES_PER_LOOK
    return {
        "polling the queue": dollars(prices, Good.QUEUE_REQUEST, polls),
        "sweeping once a minute": sum(bill(sweep.times(MINUTES), rates).values())
        + dollars(prices, Good.SCHEDULE, MINUTES),
        "keeping two keys": dollars(prices, Good.SECRET_MONTH, SECRETS),
        "eight alarms": dollars(prices, Good.ALARM_MONTH, ALARMS),
        "the dashboard": dollars(prices, Good.DASHBOARD_MONTH, DASHBOARDS),
    }
