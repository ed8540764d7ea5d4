"""RetryAfterError: what HTTP headers and SDKs give is a time, and what is none is refused where it is made."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from stepwell.errors import DefinitionError
from stepwell.values.failures import retry_at_ms
from stepwell.values.retry_after import RetryAfterError

NOW_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LISBON_SUMMER = dt.timezone(dt.timedelta(hours=1))

TIMES: list[tuple[Any, int]] = [
    (120, 120_000),
    (1.5, 1_500),
    (Decimal("2.25"), 2_250),
    ("120", 120_000),
    (" 120 ", 120_000),
    ("120\r\n", 120_000),
    ("+120", 120_000),
    ("1.5", 1_500),
    ("120s", 120_000),
    ("2m", 120_000),
    ("1h30m", 5_400_000),
    ("0", 1_000),
    ("1800000000000000000000", 86_400_000),
    (1e300, 86_400_000),
    (b"120", 120_000),
    (b" 2m ", 120_000),
    (bytearray(b"120"), 120_000),
    (b"Thu, 01 Jan 2026 00:02:00 GMT", 120_000),
    ("Thu, 01 Jan 2026 00:02:00 GMT", 120_000),
    ("Thursday, 01-Jan-26 00:02:00 GMT", 120_000),
    ("Thu Jan  1 00:02:00 2026", 120_000),
    ("Wed, 31 Dec 2025 23:00:00 GMT", 1_000),
    ("2026-01-01T00:02:00Z", 120_000),
    ("2026-01-01T01:02:00+01:00", 120_000),
    ("2026-01-01 00:02:00.5+00:00", 120_500),
    (dt.timedelta(minutes=2), 120_000),
    (dt.timedelta(microseconds=1_500_001), 1_501),
    (NOW + dt.timedelta(minutes=2), 120_000),
    (dt.datetime(2026, 1, 1, 1, 2, tzinfo=LISBON_SUMMER), 120_000),
]


@pytest.mark.parametrize(("after", "delay_ms"), TIMES)
def test_what_headers_and_sdks_give_is_a_time(after: Any, delay_ms: int) -> None:
    """Each form means the instant it says, within one second and one day."""
    error = RetryAfterError("429", after)

    assert retry_at_ms(error, NOW_MS) == NOW_MS + delay_ms
    assert error.after is after


REFUSED: list[tuple[Any, str]] = [
    (None, "after=None does not say when to try again"),
    (float("nan"), "after=nan does not say"),
    (float("-inf"), "after=-inf does not say"),
    (Decimal("NaN"), "does not say when"),
    (-1, "it is negative"),
    (-0.5, "it is negative"),
    ("-5", "is not a time"),
    ("-5s", "it is negative"),
    (dt.timedelta(seconds=-1), "it is negative"),
    (True, "after=True does not say"),
    ("", "after='' does not say"),
    ("soon", '"soon" is not a time'),
    (b"\xff\xfe", "does not say"),
    ("5 minutes", "does not say"),
    ("٣", "is not a time"),
    ("2026-01-01T00:02:00", "names no time zone; add one"),
    ("2026-01-01", "names no time zone"),
    (dt.datetime(2026, 1, 1, 0, 2), "without a time zone is ambiguous"),  # noqa: DTZ001 - on purpose
    (dt.date(2026, 1, 1), "it is none of these"),
    ([120], "after=[120] does not say"),
    (object, "it is none of these"),
]


@pytest.mark.parametrize(("after", "message"), REFUSED)
def test_what_is_no_time_is_refused_where_it_is_made(after: Any, message: str) -> None:
    """The refusal shows what was given, says why, and what to write."""
    with pytest.raises(DefinitionError) as refused:
        RetryAfterError("429", after)

    assert message in str(refused.value)
    assert "give seconds, a duration such as" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
