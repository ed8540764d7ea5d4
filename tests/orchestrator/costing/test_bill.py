from __future__ import annotations

from typing import Any

import pytest

from stepwell.errors import DefinitionError
from stepwell_orchestrator.costing.bill import EMPTY_RECEIVE, FIRED, Line, Rates, Work, bill
from stepwell_orchestrator.costing.durations import Assumptions, Invocation, assume, billed_ms, gb_seconds
from stepwell_orchestrator.costing.ledger import Usage
from stepwell_orchestrator.costing.prices import LIST_PRICES, Good, dollars, price_list

MILLION = 1_000_000


def test_every_good_has_a_price_and_a_source():
    """The table prices all goods, and says of each figure where it stands."""
    assert set(LIST_PRICES) == set(Good)
    assert all(price.dollars > 0 and "aws.amazon.com" in price.source for price in LIST_PRICES.values())


def test_own_prices_take_the_place_of_the_list():
    """A price that is given counts, for as many as the list's; the others stay."""
    prices = price_list({"write_unit": 1.25, "alarm_month": 0})
    assert dollars(prices, Good.WRITE_UNIT, 2 * MILLION) == 2.5
    assert dollars(prices, Good.ALARM_MONTH, 7) == 0
    assert prices[Good.READ_UNIT] == LIST_PRICES[Good.READ_UNIT]


@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        ({"write_units": 1}, '"write_units" has no price here; the names are write_unit, read_unit'),
        ({"write_unit": "1"}, "the price of write_unit is '1'; write dollars"),
        ({"write_unit": -1}, "the price of write_unit is -1"),
        ({"write_unit": True}, "the price of write_unit is True"),
        ({"write_unit": float("inf")}, "the price of write_unit is inf"),
    ],
)
def test_what_is_no_price_is_refused(own: dict[str, Any], complaint: str):
    """A name that has no price, or a price that is none, is named."""
    with pytest.raises(DefinitionError, match=complaint):
        price_list(own)


@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        ({"app": 1}, '"app" is not assumed; the names are api_memory_mb'),
        ({"app_ms": "x"}, "app_ms is 'x'; write a whole number, such as 10"),
        ({"app_ms": 0}, "app_ms is 0"),
    ],
)
def test_what_is_no_assumption_is_refused(own: dict[str, Any], complaint: str):
    """A name that is not assumed, or a value that is no number, is named."""
    with pytest.raises(DefinitionError, match=complaint):
        assume(own)


ASSUMED = Assumptions(queue_memory_mb=1_769, call_ms=4, invoke_ms=6, app_ms=10, processor_ms=1, handler_ms=5)


@pytest.mark.parametrize(
    ("invocation", "ms"),
    [
        (Invocation("app"), 10),
        (Invocation("app", saves=2, save_calls=5), 10 + 22 + 20),
        (Invocation("queue", 1, calls=10), 5 + 40),
        (Invocation("queue", 1, calls=10, app_calls=2), 5 + 40 + 32),
        (Invocation("queue", 1, calls=10, app_calls=2, saves=2, save_calls=5), 5 + 40 + 32 + 42),
        (Invocation("queue", 10, calls=100, app_calls=20), 5 + 120),
        (Invocation("queue", 2, calls=20, app_calls=4), 5 + 40 + 32),
    ],
    ids=[
        "app",
        "saving app",
        "calls",
        "calls and apps",
        "calls and saving apps",
        "ten share a processor",
        "two wait side by side",
    ],
)
def test_an_invocation_takes_what_it_waits_or_works(invocation: Invocation, ms: float):
    """Items wait side by side, each call after call, unless their processor takes longer for all of them."""
    assert billed_ms(invocation, ASSUMED) == pytest.approx(ms)


def test_less_memory_is_less_of_a_processor():
    """Below a whole processor the work takes longer, and the bill is by memory and time."""
    slow = assume({"queue_memory_mb": 512})
    invocation = Invocation("queue", 10, calls=100)
    assert billed_ms(invocation, slow) == pytest.approx(5 + 100 * 1_769 / 512)
    assert gb_seconds(Invocation("app"), slow) == pytest.approx(0.5 * 0.010)


def test_a_bill_by_hand():
    """Each line is its counts at their prices, for a million of everything."""
    work = Work(
        {
            ("dynamodb", "put_item"): Usage(requests=1, write_units=3),
            ("dynamodb", "query"): Usage(requests=1, read_units=2),
            ("sqs", "send_message_batch"): Usage(requests=1, chunks=2),
            ("sqs", EMPTY_RECEIVE): Usage(requests=5, chunks=5),
            ("s3", "put_object"): Usage(requests=1),
            ("s3", "get_object"): Usage(requests=2),
            ("scheduler", "create_schedule"): Usage(requests=9),
            ("scheduler", FIRED): Usage(requests=1),
            ("secretsmanager", "get_secret_value"): Usage(requests=1),
        },
        ((Invocation("app"), 2.0), (Invocation("queue", 1), 1.0)),
        log_bytes=1024**3 / MILLION,
    ).times(MILLION)
    lines = bill(work, Rates(LIST_PRICES))
    assert {line: round(amount, 4) for line, amount in lines.items()} == {
        Line.WRITES: 1.875,
        Line.READS: 0.25,
        Line.QUEUE: 3.0,  # seven requests, of which two carry messages
        Line.PAYLOADS: 5.8,
        Line.TIMERS: 1.0,
        Line.APPS: round(2 * (0.20 + 0.5 * 0.010 * 13.3334), 4),
        Line.FUNCTIONS: round(0.20 + 0.5 * 0.005 * 13.3334, 4),
        Line.LOGS: 0.5,
    }
    assert list(lines.values()) == sorted(lines.values(), reverse=True)


def test_work_is_added_and_taken_away():
    """What is left of a work without another is what it did more, in calls, invocations, messages and lines."""
    one = Work({("sqs", "x"): Usage(requests=1)}, ((Invocation("queue", 3), 1.0),), 10)
    both = one.plus(Work({("s3", "get_object"): Usage(requests=2)}, ((Invocation("queue", 4), 2.0),), 5))
    assert (both.total().requests, both.messages, both.log_bytes) == (3, 11, 15)
    left = both.without(one)
    assert (left.total("sqs").requests, left.requests("s3", "get_object"), left.messages, left.log_bytes) == (
        0,
        2,
        8,
        5,
    )
