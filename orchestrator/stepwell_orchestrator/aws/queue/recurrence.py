"""Cron lines as EventBridge Scheduler spells them: six fields, weekdays from 1, and one of the two day fields empty.

| the line                                      | in EventBridge                                                     |
| --------------------------------------------- | ------------------------------------------------------------------ |
| names neither day                             | ``*`` as the day of month, ``?`` as the weekday                    |
| names one kind of day                         | that one, and ``?`` as the other; Sunday is 1                      |
| names both kinds: either is right             | cannot be said: both would have to be right, and one must be ``?`` |
| ticks at a time that its zone skips or has    | cannot be said: EventBridge leaves a skipped time out, and has a   |
| twice                                         | repeated one once, also of a line that ticks every few minutes     |

What cannot be said, each tick says of the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from stepwell.wire.cron import CronField, CronLine
from stepwell_orchestrator.crons.clock_changes import meets_clock_change


def recurrence(line: CronLine) -> str | None:
    """The expression that ticks as the line does, to be read in the line's zone. None when there is none."""
    if line.either_day or meets_clock_change(line):
        return None
    day, weekday = ("?", _spelled(line.weekday, 1)) if not line.weekday.is_any else (_spelled(line.day), "?")
    return f"cron({_spelled(line.minute)} {_spelled(line.hour)} {day} {_spelled(line.month)} {weekday} *)"


def _spelled(field: CronField, offset: int = 0) -> str:
    if field.is_any:
        return "*"
    return ",".join(_ranges(value + offset for value in field.values))


def _ranges(values: Iterable[int]) -> Iterator[str]:
    """Values that follow one another as a range, the others one by one."""
    for _, run in groupby(enumerate(values), key=lambda numbered: numbered[1] - numbered[0]):
        consecutive = [value for _, value in run]
        first, last = consecutive[0], consecutive[-1]
        yield str(first) if first == last else f"{first}-{last}"
