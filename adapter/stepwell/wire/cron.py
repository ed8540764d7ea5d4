"""A cron line as both ends read it: five fields, or a word for them, and a time zone before them (protocol 6.11)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from stepwell.errors import WireError
from stepwell.wire.registration import NAME_MAX_CHARS

_WORDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)", re.DOTALL)
_PART = re.compile(r"(?P<any>[*?])?(?:(?P<low>\w+)(?:-(?P<high>\w+))?)?(?:/(?P<step>\d{1,4}))?", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class ZoneError(WireError):
    """A cron line names a time zone that does not exist."""


@dataclass(frozen=True, slots=True)
class CronField:
    """What one field lets pass: ``values``, in order. ``text`` says the same in the form that all parsers share.

    The text begins with a star where the author's does: then it is ``*``, or ``*/n`` of minutes and hours.
    """

    text: str
    values: tuple[int, ...]

    @property
    def is_any(self) -> bool:
        """Whether it lets everything pass."""
        return self.text == "*"


@dataclass(frozen=True, slots=True)
class CronLine:
    """When a schedule ticks, on the clocks on the wall in ``zone``. Weekdays count from 0, Sunday."""

    zone: str
    minute: CronField
    hour: CronField
    day: CronField
    month: CronField
    weekday: CronField

    @property
    def text(self) -> str:
        """The five fields."""
        return " ".join(field.text for field in (self.minute, self.hour, self.day, self.month, self.weekday))

    @property
    def either_day(self) -> bool:
        """Whether a day is right that is one of ``day`` or one of ``weekday``: so it is when both are restricted."""
        return not self.day.is_any and not self.weekday.is_any


def read_cron(text: str) -> CronLine:
    """The line in a text such as ``TZ=Europe/London 0 9 * * 1``; UTC where it names no zone.

    Raises ZoneError, or WireError naming the field that is wrong, and for a line that never ticks.
    """
    if len(text) > NAME_MAX_CHARS:
        raise WireError(f"has {len(text)} characters; the limit is {NAME_MAX_CHARS}")
    zoned = _ZONE.fullmatch(text.strip())
    zone = known_zone(zoned[1]) if zoned else "UTC"
    body = (zoned[2] if zoned else text).strip()
    texts = _WORDS.get(body.lower(), body).split()
    if len(texts) != len(_KINDS):
        raise WireError(
            "a cron has five fields (minute, hour, day of month, month, day of week) "
            f'such as "0 9 * * 1", or is a word such as "@daily", got "{body}"'
        )
    line = CronLine(zone, *(kind.read(each, body) for kind, each in zip(_KINDS, texts, strict=True)))
    if line.weekday.is_any and min(line.day.values) > max(_LONGEST_MONTHS[month - 1] for month in line.month.values):
        raise WireError(f'the cron "{body}" never ticks: none of its months has a day {line.day.text}')
    return line


def known_zone(name: str) -> str:
    """The name of a time zone that exists. Raises ZoneError."""
    try:
        return ZoneInfo(name).key
    except (TypeError, ValueError, OSError, KeyError):
        raise ZoneError(
            f'there is no time zone {name!r}; use an IANA name such as "Europe/London" '
            "(where the system has no zone data, install the tzdata package)"
        ) from None


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the five fields: its name for people, its bounds, and the words for its values."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()
    keeps_step: bool = False

    def read(self, text: str, line: str) -> CronField:
        """The field. Raises WireError."""
        parts = [self._part(part) for part in text.split(",")]
        values: set[int] = set()
        for part in parts:
            if part is None:
                words = f" or {self.words[0]}-{self.words[-1]}" if self.words else ""
                raise WireError(f'"{text}" is not a {self.name} ({self.low}-{self.high}{words}) in the cron "{line}"')
            values |= {*part}
        everything = range(self.low, self.high + 1)
        if everything in parts or values == {*everything}:
            return CronField("*", tuple(everything))
        in_order = tuple(sorted(values))
        stepped = self.keeps_step and text.startswith(("*", "?")) and "," not in text
        return CronField(f"*{text[1:]}" if stepped else ",".join(map(str, in_order)), in_order)

    def _part(self, text: str) -> range | None:
        """The values of ``*``, ``a``, ``a-b`` or one of them with ``/step``. None when it is none of these."""
        match = _PART.fullmatch(text)
        if match is None or (match["any"] is None) == (match["low"] is None):
            return None
        step = int(match["step"] or 1)
        low = self.low if match["any"] else self._number(match["low"])
        high = self._number(match["high"]) if match["high"] else low
        if match["any"] or (match["step"] and not match["high"]):
            high = self.high
        if low is None or high is None or low > high or step == 0:
            return None
        return range(low, high + 1, step)

    def _number(self, text: str) -> int | None:
        """The value a number or a word stands for. None when it is out of range or unknown."""
        if text.lower() in self.words:
            return self.low + self.words.index(text.lower())
        if not text.isdigit() or len(text) > 2:
            return None
        return int(text) if self.low <= int(text) <= self.high else None


_KINDS: Final = (
    _Kind("minute", 0, 59, keeps_step=True),
    _Kind("hour", 0, 23, keeps_step=True),
    _Kind("day of month", 1, 31),
    _Kind("month", 1, 12, _MONTHS),
    _Kind("day of week", 0, 6, _DAYS),
)
