"""What the functions log, in bytes, as Lambda writes it: a JSON object a line."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from stepwell_orchestrator.entry.aws.logs import About

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_REQUEST_ID: Final = "00000000-0000-0000-0000-000000000000"
_TIMESTAMP: Final = "2026-01-01T00:00:00Z"

_log = logging.getLogger("stepwell")


class LogBytes(logging.Handler):
    """Counts what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(About())
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        line = {
            "timestamp": _TIMESTAMP,
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "requestId": _REQUEST_ID,
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        self.count += len(json.dumps(line, ensure_ascii=False, default=str).encode()) + 1


@contextmanager
def counted_logs(level: str) -> Generator[LogBytes]:
    """Count what Stepwell logs in the block from a level on, and show nothing of it."""
    counting = LogBytes()
    before = _log.level, _log.propagate
    _log.addHandler(counting)
    _log.setLevel(level)
    _log.propagate = False
    try:
        yield counting
    finally:
        _log.removeHandler(counting)
        _log.setLevel(before[0])
        _log.propagate = before[1]
