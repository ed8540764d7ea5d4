"""Durations, instants and Retry-After (protocol 4.8, 8.4, 8.5)."""

import contextlib
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.errors import WireError
from stepwell.wire.times import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    SECOND_MS,
    WEEK_MS,
    format_duration,
    format_instant,
    instant_of,
    parse_duration_ms,
    parse_instant_ms,
    parse_retry_after_ms,
    parse_when_ms,
)

NOW_MS = 1_700_000_000_000
JANUARY_2006 = 1_136_214_245_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("0s", 0),
        ("1ms", 1),
        ("1s", SECOND_MS),
        ("1m", MINUTE_MS),
        ("1h", HOUR_MS),
        ("1d", DAY_MS),
        ("1w", WEEK_MS),
        ("1h30m", 90 * MINUTE_MS),
        ("30m1h", 90 * MINUTE_MS),
        ("1s1s1s", 3 * SECOND_MS),
        ("90m", 90 * MINUTE_MS),
        ("26h", 26 * HOUR_MS),
        ("1d2h3m4s", DAY_MS + 2 * HOUR_MS + 3 * MINUTE_MS + 4 * SECOND_MS),
        ("1.5s", 1_500),
        (".5s", 500),
        ("1.s", 1_000),
        ("0.1s", 100),
        ("1.1s", 1_100),
        ("+1s", 1_000),
        ("-1s", -1_000),
        ("-1.5m", -90_000),
        ("1000000ns", 1),
        ("1ns", 1),
        ("1500us", 2),
        ("1500µs", 2),
        ("1500μs", 2),
        ("1s1ns", 1_001),
        ("366d", 366 * DAY_MS),
        ("52w", 364 * DAY_MS),
    ],
)
def test_duration(text, expected):
    """A duration in any units, order and fraction is read in milliseconds, rounded up."""
    assert parse_duration_ms(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "+",
            "-",
            "1",
            "s",
            "1x",
            "1 s",
            " 1s",
            "1s ",
            "1s\n",
            "--1s",
            "+-1s",
            "1h-1m",
            "1,5s",
            "1e3s",
            "1S",
        ),
        *("٣s", ".s", "1y", "1month", "P1D", "soon", "9" * 200 + "s", "1s" * 100),
    ],
)
def test_not_a_duration(text):
    """Anything else is refused, in one line that shows how to write it."""
    with pytest.raises(WireError, match="is not a duration; write it like"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (1_500, "1s500ms"),
        (90_000, "1m30s"),
        (90 * MINUTE_MS, "1h30m"),
        (WEEK_MS, "7d"),
        (-90_000, "-1m30s"),
    ],
)
def test_format_duration(duration_ms, text):
    """A duration is written in its largest units."""
    assert format_duration(duration_ms) == text


@given(st.integers(-400 * DAY_MS, 400 * DAY_MS))
def test_duration_round_trip(duration_ms):
    """A duration is read back as it was written."""
    assert parse_duration_ms(format_duration(duration_ms)) == duration_ms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2006-01-02T15:04:05Z", JANUARY_2006),
        ("2006-01-02T15:04:05.123Z", JANUARY_2006 + 123),
        ("2006-01-02T15:04:05.123456Z", JANUARY_2006 + 124),
        ("2006-01-02T15:04:05.123000001Z", JANUARY_2006 + 123),
        ("2006-01-02T15:04:05+00:00", JANUARY_2006),
        ("2006-01-02T08:04:05-07:00", JANUARY_2006),
        ("2006-01-02 15:04:05Z", JANUARY_2006),
        ("2006-01-02T15:04:05", JANUARY_2006),
        ("2006-01-02", JANUARY_2006 - 54_245_000),
        ("Mon, 02 Jan 2006 15:04:05 GMT", JANUARY_2006),
        ("Mon, 02 Jan 2006 08:04:05 -0700", JANUARY_2006),
        ("02 Jan 06 15:04 UTC", JANUARY_2006 - 5_000),
        ("02 Jan 06 08:04 -0700", JANUARY_2006 - 5_000),
        ("Monday, 02-Jan-06 15:04:05 GMT", JANUARY_2006),
        ("Mon Jan 02 08:04:05 -0700 2006", JANUARY_2006),
        ("Mon Jan  2 15:04:05 UTC 2006", JANUARY_2006),
        ("Mon Jan  2 15:04:05 2006", JANUARY_2006),
        ("2006-01-02 08:04:05.999999999 -0700 MST", JANUARY_2006 + 1_000),
        ("2006-01-02 15:04:05 +0000 UTC", JANUARY_2006),
        ("Jan  1 00:00:00", -62_167_219_200_000),
        ("Jan  1 00:00:00.250", -62_167_219_200_000 + 250),
        ("Feb 29 00:00:00", -62_167_219_200_000 + 59 * DAY_MS),
    ],
)
def test_instant(text, expected):
    """A date in any accepted format is read, UTC where it names no zone."""
    assert parse_instant_ms(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2006-13-01", "2006-02-30T00:00:00Z", "1700000000", "1700000000000", "1h30m10s20ms"),
        *("1 Jan 2024 00:00:00 +99999999999999999", "Mon, 32 Jan 2006 15:04:05 GMT", "2006-01-02" + " " * 200),
    ],
)
def test_not_an_instant(text):
    """Anything else is refused, in one line that shows how to write it."""
    with pytest.raises(WireError, match="is not a time; write it like"):
        parse_instant_ms(text)


@given(st.text(max_size=60))
def test_any_instant_text(text):
    """Any text is a time or a WireError, alone, as a timeout and as Retry-After."""
    for parse in (parse_instant_ms, lambda value: parse_when_ms(value, NOW_MS)):
        with contextlib.suppress(WireError):
            assert isinstance(parse(text), int)
    at_ms = parse_retry_after_ms(text, NOW_MS)
    assert at_ms is None or NOW_MS + SECOND_MS <= at_ms <= NOW_MS + DAY_MS


@pytest.mark.parametrize(
    ("instant_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOW_MS + 7, "2023-11-14T22:13:20.007Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_format_instant(instant_ms, text):
    """An instant is written in UTC with milliseconds and a four-digit year."""
    assert format_instant(instant_ms) == text


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_instant_round_trip(instant_ms):
    """An instant is read back as it was written."""
    assert parse_instant_ms(format_instant(instant_ms)) == instant_ms


def test_instant_of():
    """A datetime's part of a millisecond is rounded up, and one without a zone is refused."""
    moment = dt.datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=dt.UTC)
    assert instant_of(moment) == NOW_MS + 1
    assert instant_of(moment.astimezone(dt.timezone(dt.timedelta(hours=9)))) == NOW_MS + 1
    with pytest.raises(ValueError, match="without a time zone is ambiguous"):
        instant_of(moment.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", NOW_MS),
        ("0", NOW_MS),
        ("1s", NOW_MS + 1_000),
        ("1h30m", NOW_MS + 90 * MINUTE_MS),
        ("-1h", NOW_MS - HOUR_MS),
        ("1h30m10s20ms", NOW_MS + 90 * MINUTE_MS + 10_020),
        ("2023-11-14T22:13:21Z", NOW_MS + 1_000),
        ("2023-11-14", NOW_MS - 80_000_000),
        ("2020-01-01T00:00:00.000Z", 1_577_836_800_000),
    ],
)
def test_when(text, expected):
    """A timeout is a date when it is long enough and one, else a duration from now; empty means now."""
    assert parse_when_ms(text, NOW_MS) == expected


@pytest.mark.parametrize("text", ["soon", "eventually soon", "20240101"])
def test_when_neither(text):
    """A timeout that is neither date nor duration is refused, and a short text is never read as a date."""
    with pytest.raises(WireError, match="is not a duration"):
        parse_when_ms(text, NOW_MS)


@pytest.mark.parametrize(
    ("text", "delay_ms"),
    [
        ("3", 3_000),
        (" 3 ", 3_000),
        ("0", SECOND_MS),
        ("1", SECOND_MS),
        ("86400", DAY_MS),
        ("86401", DAY_MS),
        ("9999999", DAY_MS),
        ("2023-11-14T22:14:20Z", MINUTE_MS),
        ("2023-11-14T22:14:20.500000+00:00", MINUTE_MS + 500),
        ("Tue, 14 Nov 2023 22:14:20 GMT", MINUTE_MS),
        ("Tue Nov 14 22:14:20 2023", MINUTE_MS),
        ("2023-11-14T22:13:20Z", SECOND_MS),
        ("2020-01-01T00:00:00Z", SECOND_MS),
        ("2030-01-01T00:00:00Z", DAY_MS),
        ("2m", 2 * MINUTE_MS),
    ],
)
def test_retry_after(text, delay_ms):
    """Retry-After in any form is clamped to one second through one day from now."""
    assert parse_retry_after_ms(text, NOW_MS) == NOW_MS + delay_ms


@pytest.mark.parametrize("text", ["", " ", "soon", "-5", "1.5", "12345678", "10000000000", "٣"])
def test_retry_after_unreadable(text):
    """A Retry-After that cannot be read counts as none."""
    assert parse_retry_after_ms(text, NOW_MS) is None
