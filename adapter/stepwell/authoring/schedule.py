"""The text of a cron trigger: five fields and a time zone, checked before it reaches a server (protocol 6.11)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from stepwell.values.checks import Field

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_PART = re.compile(r"(?P<any>[*?])?(?:(?P<low>\w+)(?:-(?P<high>\w+))?)?(?:/(?P<step>\d+))?")


@dataclass(frozen=True, slots=True)
class _CronField:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int | None:
        """The value a number or a word stands for. Returns None when it is out of range or unknown."""
        if text.lower() in self.words:
            return self.low + self.words.index(text.lower())
        if not text.isascii() or not text.isdigit():
            return None
        return int(text) if self.low <= int(text) <= self.high else None

    def accepts(self, part: str) -> bool:
        """Whether one comma-separated part is ``*``, ``a``, ``a-b`` or one of them with ``/step``."""
        match = _PART.fullmatch(part)
        if match is None or (match["any"] is None) == (match["low"] is None):
            return False
        if match["step"] is not None and int(match["step"]) == 0:
            return False
        if match["low"] is None:
            return True
        low = self.number(match["low"])
        high = low if match["high"] is None else self.number(match["high"])
        return low is not None and high is not None and low <= high


_FIELDS = (
    _CronField("minute", 0, 59),
    _CronField("hour", 0, 23),
    _CronField("day of month", 1, 31),
    _CronField("month", 1, 12, _MONTHS),
    _CronField("day of week", 0, 6, _DAYS),
)


def check_cron(field: Field, schedule: Any, tz: Any) -> str:
    """The wire text of a schedule in a time zone. Raises DefinitionError naming the field of the cron that is wrong."""
    fields = schedule.split() if isinstance(schedule, str) else []
    if len(fields) != len(_FIELDS):
        raise field.error(
            "a cron has five fields (minute, hour, day of month, month, day of week) "
            f'such as "0 9 * * 1", got {schedule!r}'
        )
    for kind, text in zip(_FIELDS, fields, strict=True):
        if not all(kind.accepts(part) for part in text.split(",")):
            words = f" or {kind.words[0]}-{kind.words[-1]}" if kind.words else ""
            raise field.error(f'"{text}" is not a {kind.name} ({kind.low}-{kind.high}{words}) in the cron "{schedule}"')
    zone = "" if tz is None else f"TZ={_zone(field, tz)} "
    return zone + " ".join(fields)


def _zone(field: Field, tz: Any) -> str:
    try:
        return ZoneInfo(tz).key
    except (TypeError, ValueError, OSError, KeyError):
        raise field.member("tz").error(
            f'there is no time zone {tz!r}; use an IANA name such as "Europe/London" '
            "(where the system has no zone data, install the tzdata package)"
        ) from None
