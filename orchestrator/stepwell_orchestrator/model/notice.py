"""What happened, told to whoever watches: the console log, counters, tests. Nothing depends on a notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from stepwell.wire.opcodes import Op


class NoticeKind(StrEnum):
    """Every kind of thing worth telling."""

    EVENT_RECEIVED = "event received"
    APP_SYNCED = "app synced"
    EVENT_WAITING = "event waiting"
    RUN_CREATED = "run created"
    RUN_STARTED = "run started"
    RUN_WAITING = "run waiting"
    CALLED = "called"
    WARNED = "warned"
    STEP_PLANNED = "step planned"
    STEP_SLEEPING = "step sleeping"
    STEP_WAITING = "step waiting"
    STEP_COMPLETED = "step completed"
    STEP_RETRYING = "step retrying"
    STEP_FAILED = "step failed"
    STEP_TIMED_OUT = "step timed out"
    FUNCTION_RETRYING = "function retrying"
    RUN_COMPLETED = "run completed"
    RUN_FAILED = "run failed"
    RUN_CANCELLED = "run cancelled"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened.

    ``subject`` is the step's, event's or app's name; ``attempt`` the attempt that ended, counted from 0;
    ``duration_ms`` how long the attempt, step or run took; ``due_at_ms`` when something goes on; ``detail`` an error
    message or the like.
    """

    at_ms: int
    kind: NoticeKind
    run_id: str = ""
    function_id: str = ""
    subject: str = ""
    op: Op | None = None
    attempt: int = 0
    duration_ms: int | None = None
    due_at_ms: int | None = None
    detail: str = ""


Observe = Callable[[Notice], None]


def unobserved(_notice: Notice) -> None:
    """Nobody watches."""
