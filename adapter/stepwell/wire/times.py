"""Durations and instants as the wire spells them (protocol 8.4, 8.5). Inside, everything is integer milliseconds."""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Final

from stepwell.errors import WireError

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS

RETRY_AFTER_MIN_MS: Final = SECOND_MS
RETRY_AFTER_MAX_MS: Final = DAY_MS

_MILLISECOND_NS: Final = 1_000_000
_UNIT_NS: Final[dict[str, int]] = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": _MILLISECOND_NS,
    "s": SECOND_MS * _MILLISECOND_NS,
    "m": MINUTE_MS * _MILLISECOND_NS,
    "h": HOUR_MS * _MILLISECOND_NS,
    "d": DAY_MS * _MILLISECOND_NS,
    "w": WEEK_MS * _MILLISECOND_NS,
}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)")
_SECONDS = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)")
_HTTP_DATE_WITHOUT_ZONE = re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:", re.ASCII)
"""The oldest form of an HTTP date, which like the others is in UTC: ``Sun Nov  6 08:49:37 1994``."""
_MAX_TEXT_CHARS = 100
_MIN_INSTANT_CHARS = 10
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_GO_TEXT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4}) \w+", re.ASCII)
_YEARS_0_TO_3 = dt.timedelta(days=4 * 365 + 1)


def parse_duration_ms(text: str) -> int:
    """Milliseconds of a duration such as ``1h30m``; a sub-millisecond rest is rounded up so that no wait ends early.

    Raises WireError when the text is not a duration.
    """
    sign = -1 if text.startswith("-") else 1
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    total_ns, end = 0, 0
    for part in _PART.finditer(body[:_MAX_TEXT_CHARS]):
        if part.start() != end:
            break
        whole, _, fraction = part[1].partition(".")
        total_ns += -(-int(whole + fraction) * _UNIT_NS[part[2]] // 10 ** len(fraction))
        end = part.end()
    if end == 0 or end != len(body):
        raise WireError(f'"{text[:_MAX_TEXT_CHARS]}" is not a duration; write it like "30s", "1h30m" or "7d"')
    return sign * -(-total_ns // _MILLISECOND_NS)


def format_duration(duration_ms: int) -> str:
    """The shortest duration text of a number of milliseconds, e.g. ``1h30m``."""
    if duration_ms == 0:
        return "0s"
    sign, rest, text = ("-" if duration_ms < 0 else ""), abs(duration_ms), ""
    for unit, unit_ms in (("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)):
        count, rest = divmod(rest, unit_ms)
        text += f"{count}{unit}" if count else ""
    return sign + text


def format_instant(instant_ms: int) -> str:
    """An instant as ISO 8601 UTC with millisecond precision. Raises OverflowError outside the years 1 to 9999."""
    moment = _EPOCH + dt.timedelta(milliseconds=instant_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def instant_of(moment: dt.datetime) -> int:
    """Epoch milliseconds of an aware datetime, rounded up. Raises ValueError when it has no time zone."""
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone is ambiguous; add one, e.g. tzinfo=datetime.UTC")
    micros = (moment - _EPOCH) // dt.timedelta(microseconds=1)
    return -(-micros // 1000)


def parse_instant_ms(text: str) -> int:
    """Epoch milliseconds of a date text in any of the accepted formats (protocol 8.4), rounded up.

    A text without a time zone is UTC; one without a year is in the year 0. Raises WireError when it is none of them.
    """
    moment = None
    if len(text) <= _MAX_TEXT_CHARS:
        moment = _iso(text) or _mail(text)
    if moment is not None:
        return instant_of(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))
    stamp = _stamp(text)
    if stamp is None:
        raise WireError(f'"{text[:_MAX_TEXT_CHARS]}" is not a time; write it like "2027-01-01T09:00:00Z"')
    return stamp


def parse_zoned_instant_ms(text: str) -> int:
    """The same for a text that must name its time zone. Raises WireError when it is no time, ValueError without one."""
    moment = (_iso(text) or _mail(text)) if len(text) <= _MAX_TEXT_CHARS else None
    if moment is not None and moment.tzinfo is None:
        raise ValueError(f'"{text}" names no time zone; add one, e.g. "2027-01-01T09:00:00Z" or "...+02:00"')
    return parse_instant_ms(text) if moment is None else instant_of(moment)


def parse_when_ms(text: str, now_ms: int) -> int:
    """The instant a sleep or timeout text names: a date when it is long enough and parses as one, else a duration.

    The empty text means now (protocol 5.4). Raises WireError when it is neither.
    """
    if not text:
        return now_ms
    if len(text) >= _MIN_INSTANT_CHARS:
        try:
            return parse_instant_ms(text)
        except WireError:
            return now_ms + parse_duration_ms(text)
    return now_ms + parse_duration_ms(text)


def retry_after_at_ms(after: object, now_ms: int) -> int:
    """The instant that the ``after`` of a RetryAfterError names, unclamped, rounded up.

    It is a number of seconds, a timedelta, an aware datetime, or what an HTTP header and SDKs give: a text or bytes
    with seconds, a duration, an HTTP date (UTC by definition) or an ISO time with a zone. Raises ValueError or
    WireError for what is none of them, or no time to wait for.
    """
    if isinstance(after, bytes | bytearray):
        after = after.decode("latin-1")
    if isinstance(after, str):
        return _retry_text_at_ms(after.strip(), now_ms)
    if isinstance(after, dt.datetime):
        return instant_of(after)
    if isinstance(after, dt.timedelta):
        return now_ms + _not_negative(-(-after // dt.timedelta(milliseconds=1)))
    if isinstance(after, int | float | Decimal) and not isinstance(after, bool) and math.isfinite(after):
        seconds = float(min(after, RETRY_AFTER_MAX_MS))
        return now_ms + _not_negative(-(-dt.timedelta(seconds=max(seconds, -1)) // dt.timedelta(milliseconds=1)))
    raise ValueError("it is none of these")


def parse_retry_after_ms(text: str, now_ms: int) -> int | None:
    """The instant a ``Retry-After`` value names, clamped to 1 s .. 24 h from now. Returns None for other texts."""
    value = text.strip()
    if not value:
        return None
    if value.isascii() and value.isdigit() and len(value) <= 7:
        at_ms = now_ms + int(value) * SECOND_MS
    else:
        try:
            at_ms = parse_when_ms(value, now_ms)
        except WireError:
            return None
    return min(max(at_ms, now_ms + RETRY_AFTER_MIN_MS), now_ms + RETRY_AFTER_MAX_MS)


def _retry_text_at_ms(text: str, now_ms: int) -> int:
    if len(text) <= _MAX_TEXT_CHARS and _SECONDS.fullmatch(text):
        return retry_after_at_ms(Decimal(text), now_ms)
    if _PART.match(text.lstrip("+-")):
        try:
            return now_ms + _not_negative(parse_duration_ms(text))
        except WireError:
            pass  # a date may begin like a duration
    if _HTTP_DATE_WITHOUT_ZONE.match(text):
        return parse_instant_ms(text)
    return parse_zoned_instant_ms(text)


def _not_negative(length_ms: int) -> int:
    if length_ms < 0:
        raise ValueError("it is negative")
    return length_ms


def _iso(text: str) -> dt.datetime | None:
    """ISO 8601 and RFC 3339, and how Go prints a time: with nanoseconds, and a zone name after the offset."""
    go_text = _GO_TEXT.fullmatch(text)
    trimmed = re.sub(
        r"(\.[0-9]{6})[0-9]+", r"\1", go_text[1].replace(" ", "T", 1).replace(" ", "") if go_text else text
    )
    try:
        return dt.datetime.fromisoformat(trimmed)
    except ValueError:
        return None


def _mail(text: str) -> dt.datetime | None:
    """RFC 1123, 822 and 850, ANSI C, Unix and Ruby dates: a mail date in one order or another."""
    try:
        return parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _stamp(text: str) -> int | None:
    """``Jan _2 15:04:05`` with or without a fraction, read in year 4, a leap year as the year 0 would be."""
    fraction = "" if "." in text else ".0"
    try:
        moment = dt.datetime.strptime(f"0004 {text}{fraction} +0000", "%Y %b %d %H:%M:%S.%f %z")
    except ValueError:
        return None
    return instant_of(moment) - _YEARS_0_TO_3 // dt.timedelta(milliseconds=1)
