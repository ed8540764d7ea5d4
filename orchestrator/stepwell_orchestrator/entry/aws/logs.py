"""Log lines with members: Lambda writes them as JSON objects, which say of every line which run it is about.

No line holds a key, or the data of an event or a result; what a function fails with is told in its own words, cut.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from stepwell_orchestrator.model.notice import Notice, NoticeKind

DETAIL_CHARS_MAX: Final = 500
NOISY: Final = ("aiohttp", "asyncio", "botocore", "mangum", "urllib3")
"""What these say below a warning holds paths with keys, or headers, or is of no use to an operator."""

_ROUTINE: Final = frozenset(
    {
        NoticeKind.CALLED,
        NoticeKind.STEP_PLANNED,
        NoticeKind.STEP_SLEEPING,
        NoticeKind.STEP_WAITING,
        NoticeKind.STEP_COMPLETED,
    }
)
"""What a run's journal tells as well. A line for each would cost about as much as half a step's write."""

_ABOUT: ContextVar[dict[str, Any] | None] = ContextVar("stepwell_log_about", default=None)

_log = logging.getLogger("stepwell")


@contextmanager
def about(**members: Any) -> Generator[None]:
    """Every line that is logged in the block, by whatever code, has these members."""
    token = _ABOUT.set({**(_ABOUT.get() or {}), **{name: value for name, value in members.items() if value}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


class About(logging.Filter):
    """Adds the members of ``about`` to a line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds them, and lets the line pass."""
        for name, value in (_ABOUT.get() or {}).items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def set_up_logs(level: str) -> None:
    """Log as the stack wants it, on the handler that the Lambda runtime has put in place."""
    _log.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        if not any(isinstance(one, About) for one in handler.filters):
            handler.addFilter(About())


def log_notice(notice: Notice) -> None:
    """An observer that logs: what is as it should be with a step at DEBUG, all else at INFO."""
    members = {
        "run_id": notice.run_id,
        "function_id": notice.function_id,
        "subject": notice.subject,
        "op": notice.op and notice.op.value,
        "attempt": notice.attempt,
        "duration_ms": notice.duration_ms,
        "due_at_ms": notice.due_at_ms,
        "detail": notice.detail[:DETAIL_CHARS_MAX],
    }
    level = logging.DEBUG if notice.kind in _ROUTINE else logging.INFO
    _log.log(
        level, notice.kind.value, extra={name: value for name, value in members.items() if value not in ("", None)}
    )
