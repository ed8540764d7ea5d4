"""The logger of a call: each line of a function is said once, however often its calls run through it again.

A call begins where the server says that earlier calls of the run have come to: so many memos given out, and so many
lines said since the last of them. Its reply tells how far it came itself.

| memos given out so far | a line of the function |
| --- | --- |
| fewer than earlier calls had | was said |
| as many | was said when it is one of the lines counted there |
| more | is new |

After a call whose reply is lost its lines are said again, so that none is lost. To a call that executes one planned
step every line of the function is old. With a server that tells nothing, a line is new when no memo is left to give
out. Lines of step bodies are said as often as the bodies run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from stepwell.replaying.replay import Replay

_LOGGER = logging.getLogger("stepwell.function")


class SaidLines:
    """Counts the lines of one call's function, and tells the new ones."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._told = replay.call.ctx.said if replay.target is None else None
        self._memos = 0
        self._lines = 0
        self._closed = False

    @property
    def silent(self) -> bool:
        """Whether every line is old here, whatever comes."""
        if self._told is None:
            return self._closed or self._replay.replaying
        return self._closed or len(self._replay.given) < self._told[0]

    def count(self) -> bool:
        """Count a line. Returns whether it is new."""
        self._memos, self._lines = self._here()
        self._lines += 1
        return not self.silent and (self._told is None or (self._memos, self._lines) > self._told)

    def close(self) -> tuple[int, int] | None:
        """Be silent from now on: the function is unwound. Returns how far the run has come, None when nobody asks."""
        self._closed = True
        return None if self._told is None else max(self._told, self._here())

    def _here(self) -> tuple[int, int]:
        memos = len(self._replay.given)
        return memos, self._lines if memos == self._memos else 0


class ReplayLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs to ``stepwell.function`` with ``function`` and ``run_id`` on every record, and no line twice.

    ``in_body`` says whether the code that logs is a step's body.
    """

    def __init__(self, extra: Mapping[str, Any], lines: SaidLines, in_body: Callable[[], bool]) -> None:
        super().__init__(_LOGGER, extra)
        self._lines = lines
        self._in_body = in_body

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        """Whether a record of ``level`` may be logged now."""
        return (self._in_body() or not self._lines.silent) and super().isEnabledFor(level)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line, unless it was logged before. It is counted at any level: that may be another the next time."""
        if (self._in_body() or self._lines.count()) and self.logger.isEnabledFor(level):
            msg, given = self.process(msg, kwargs)
            above = {"stacklevel": given.pop("stacklevel", 1) + 1}
            self.logger.log(level, msg, *args, **given, **above)
