"""The ticks of a cron line, in epoch milliseconds (decision 22).

Where the clocks of its zone change, a line goes by its minutes and hours:

- Both are named, as in ``30 2 * * *``. A time that does not exist ticks at the next one that does, and with a time of
  its own there it is one tick; a time that comes twice ticks when it comes first.
- One of them begins with a star, as in ``*/10 * * * *``: it ticks by the clock on the wall as often as that shows such
  a time. So an hour that comes twice has its ticks twice, and one that does not exist has none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import takewhile
from zoneinfo import ZoneInfo

from stepwell.wire.cron import CronLine
from stepwell.wire.times import MINUTE_MS, SECOND_MS


def ticks_after(line: CronLine, after_ms: int) -> Iterator[int]:
    """Every tick later than ``after_ms``, in order, each once."""
    from cronsim import CronSim  # only what has schedules pays for the import

    zone = dt.UTC if line.zone == "UTC" else ZoneInfo(line.zone)
    last_ms = after_ms
    for moment in CronSim(line.text, dt.datetime.fromtimestamp(after_ms // SECOND_MS, zone)):
        tick_ms = int(moment.timestamp()) * SECOND_MS
        # A time that does not exist is moved onto another tick, perhaps, and one that comes twice lies behind by then.
        if tick_ms > last_ms:
            last_ms = tick_ms
            yield tick_ms


def next_tick(line: CronLine, after_ms: int) -> int:
    """The first tick later than ``after_ms``."""
    return next(ticks_after(line, after_ms))


def latest_ticks(line: CronLine, since_ms: int, until_ms: int, limit: int) -> list[int]:
    """The last ``limit`` ticks later than ``since_ms`` and not later than ``until_ms``, in order.

    Looks back twice as far each time, so that it costs about as much as the ticks that it finds.
    """
    span_ms = limit * MINUTE_MS
    while True:
        start_ms = max(since_ms, until_ms - span_ms)
        found = list(takewhile(lambda tick_ms: tick_ms <= until_ms, ticks_after(line, start_ms)))
        if len(found) >= limit or start_ms == since_ms:
            return found[-limit:]
        span_ms *= 2
