"""The logger of a call: silent while the function runs through what it has run before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

_LOGGER = logging.getLogger("stepwell.function")


class ReplayLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs to ``stepwell.function`` with ``function`` and ``run_id`` on every record, and nothing during replay."""

    def __init__(self, extra: Mapping[str, Any], replaying: Callable[[], bool]) -> None:
        super().__init__(_LOGGER, extra)
        self._replaying = replaying

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        """Whether a record of ``level`` would be logged now."""
        return not self._replaying() and super().isEnabledFor(level)
