"""The text of a cron trigger, checked before it reaches a server (protocol 6.11)."""

from __future__ import annotations

from typing import Any

from stepwell.errors import WireError
from stepwell.values.checks import Field
from stepwell.wire.cron import ZoneError, known_zone, read_cron


def check_cron(field: Field, schedule: Any, tz: Any) -> str:
    """The wire text of a schedule in a time zone. Raises DefinitionError naming the field of the cron that is wrong."""
    if not isinstance(schedule, str):
        raise field.error(f'a cron is a text such as "0 9 * * 1", got {schedule!r}')
    text = " ".join(schedule.split())
    if tz is not None:
        text = f"TZ={_zone(field, text, tz)} {text}"
    try:
        read_cron(text)
    except ZoneError as error:
        raise field.member("tz").error(str(error)) from None
    except WireError as error:
        raise field.error(str(error)) from None
    return text


def _zone(field: Field, text: str, tz: Any) -> str:
    if "TZ=" in text:
        raise field.member("tz").error(f'the cron "{text}" names a time zone already; leave one of the two out')
    try:
        return known_zone(tz)
    except ZoneError as error:
        raise field.member("tz").error(str(error)) from None
