"""How long a step waits for something from outside (protocol 5.4)."""

from __future__ import annotations

import datetime as dt
from typing import Final

from stepwell.steps.calls import Duration, duration_ms, misuse
from stepwell.values.source_lines import tell_author
from stepwell.wire.times import DAY_MS, format_duration, format_instant, instant_of

Timeout = Duration | dt.datetime
"""A duration from now, or an aware datetime."""

WAIT_MAX_MS: Final = 366 * DAY_MS
WAIT_DEFAULT: Final = "30d"


def timeout_text(step_id: str, timeout: Timeout, now_ms: int) -> str:
    """The wire text of a timeout. Raises DefinitionError naming the step.

    An instant may be past: it is in every replay after the wait has ended.
    """
    if isinstance(timeout, dt.datetime):
        at_ms = _instant_ms(step_id, timeout)
        _refuse_too_long(step_id, at_ms - now_ms)
        return format_instant(at_ms)
    length_ms = duration_ms(step_id, "timeout", timeout)
    if length_ms <= 0:
        raise misuse(step_id, f'timeout must be longer than 0, got {timeout!r}; e.g. "7d"')
    _refuse_too_long(step_id, length_ms)
    return format_duration(length_ms)


def wait_timeout_text(step_id: str, call: str, timeout: Timeout | None, now_ms: int) -> str:
    """The wire text of a timeout of a wait by ``call``: 30 days, after a warning at the user's line, for None."""
    if timeout is not None:
        return timeout_text(step_id, timeout, now_ms)
    tell_author(
        call,
        f'step "{step_id}": {call} without a timeout gives up after {WAIT_DEFAULT}; say how long it may take: '
        'timeout="7d"',
    )
    return WAIT_DEFAULT


def _instant_ms(step_id: str, moment: dt.datetime) -> int:
    try:
        return instant_of(moment)
    except ValueError as error:
        raise misuse(step_id, f"timeout: {error}") from None


def _refuse_too_long(step_id: str, length_ms: int) -> None:
    if length_ms > WAIT_MAX_MS:
        raise misuse(step_id, f"timeout is {format_duration(length_ms)}; the limit is 366d: wait again after it")
