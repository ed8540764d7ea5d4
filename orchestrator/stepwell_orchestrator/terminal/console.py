"""The live log of a dev server: one calm, aligned line per thing that happened."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console
from rich.text import Text

from stepwell.wire.times import DAY_MS
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.step_kind import StepKind, kind_of
from stepwell_orchestrator.terminal.display import Glyphs, duration_text, glyphs_for, one_line, op_word, run_tail

_QUIET: Final = frozenset({NoticeKind.CALLED, NoticeKind.STEP_PLANNED, NoticeKind.RUN_CREATED})
_RETRIES: Final = frozenset({NoticeKind.STEP_RETRYING, NoticeKind.FUNCTION_RETRYING})
_PAUSES: Final = frozenset({NoticeKind.STEP_SLEEPING, NoticeKind.STEP_WAITING, NoticeKind.EVENT_WAITING})
_ENDS: Final = frozenset({NoticeKind.RUN_COMPLETED, NoticeKind.RUN_FAILED, NoticeKind.RUN_CANCELLED})
_STAND_OUT: Final = _RETRIES | _ENDS | {NoticeKind.STEP_FAILED, NoticeKind.WARNED}
_FUNCTION_CELLS_MAX: Final = 32

_STYLES: Final = {
    NoticeKind.EVENT_RECEIVED: "blue",
    NoticeKind.APP_SYNCED: "blue",
    NoticeKind.EVENT_WAITING: "blue",
    NoticeKind.WARNED: "yellow",
    NoticeKind.RUN_WAITING: "yellow",
    NoticeKind.STEP_COMPLETED: "green",
    NoticeKind.STEP_RETRYING: "yellow",
    NoticeKind.STEP_FAILED: "red",
    NoticeKind.STEP_TIMED_OUT: "yellow",
    NoticeKind.FUNCTION_RETRYING: "yellow",
    NoticeKind.RUN_COMPLETED: "bold green",
    NoticeKind.RUN_FAILED: "bold red",
    NoticeKind.RUN_CANCELLED: "bold yellow",
}


@dataclass(slots=True)
class ConsoleLog:
    """Prints notices as they come; hand it to whatever takes an ``Observe``. ``tz`` None is the machine's time zone."""

    console: Console
    tz: dt.tzinfo | None = None
    _apps: set[str] = field(default_factory=set)
    _function_cells: int = 16

    def __call__(self, notice: Notice) -> None:
        """Print one notice, unless it is of a quiet kind."""
        if notice.kind is NoticeKind.APP_SYNCED:
            self._apps.add(notice.subject)
        if notice.kind not in _QUIET:
            self.console.print(self.line(notice), soft_wrap=True)

    def line(self, notice: Notice) -> Text:
        """The line of a notice. The function column only ever grows, so that lines stay aligned."""
        glyphs = glyphs_for(self.console.encoding)
        function = self._short(notice.function_id)
        self._function_cells = min(max(self._function_cells, len(function)), _FUNCTION_CELLS_MAX)
        moment = _moment(notice.at_ms, self.tz)
        style = _STYLES.get(notice.kind, "")
        line = Text(f"{moment:%H:%M:%S}.{notice.at_ms % 1000:03d}  ", style="dim")
        line.append(f"{function:<{self._function_cells}}  {run_tail(notice.run_id):<6}  ", style="default not dim")
        line.append(f"{_mark(notice.kind, glyphs)} ", style=f"{style} not dim")
        line.append(_what(notice), style=f"{style if notice.kind in _STAND_OUT else 'default'} not dim")
        line.append(_why(notice, self.tz))
        line.rstrip()
        return line

    def _short(self, function_id: str) -> str:
        """Without the app's name while there is only one app."""
        if len(self._apps) == 1:
            return function_id.removeprefix(f"{next(iter(self._apps))}-")
        return function_id


def _moment(at_ms: int, tz: dt.tzinfo | None) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).astimezone(tz)


def _mark(kind: NoticeKind, glyphs: Glyphs) -> str:
    match kind:
        case NoticeKind.STEP_COMPLETED | NoticeKind.RUN_COMPLETED:
            return glyphs.done
        case NoticeKind.STEP_FAILED | NoticeKind.RUN_FAILED:
            return glyphs.failed
        case NoticeKind.STEP_RETRYING | NoticeKind.FUNCTION_RETRYING:
            return glyphs.retry
        case NoticeKind.EVENT_RECEIVED | NoticeKind.APP_SYNCED:
            return glyphs.event
        case NoticeKind.RUN_STARTED:
            return glyphs.started
        case NoticeKind.WARNED:
            return glyphs.warned
        case NoticeKind.RUN_CANCELLED | NoticeKind.STEP_TIMED_OUT:
            return glyphs.dropped
        case _:
            return glyphs.open


def _what(notice: Notice) -> str:
    match notice.kind:
        case NoticeKind.EVENT_RECEIVED | NoticeKind.EVENT_WAITING:
            return f"event {notice.subject}"
        case NoticeKind.APP_SYNCED:
            return f"app {notice.subject} synced"
        case NoticeKind.RUN_STARTED:
            return f"started by {notice.subject}"
        case NoticeKind.RUN_WAITING:
            return f"waits: {one_line(notice.subject)}"
        case kind if kind in _ENDS:
            return notice.kind.removeprefix("run ").upper()
        case NoticeKind.FUNCTION_RETRYING:
            return "retrying"
        case NoticeKind.WARNED:
            return "warning"
        case _:
            return one_line(notice.subject)


def _why(notice: Notice, tz: dt.tzinfo | None) -> str:
    facts = []
    if notice.op is not None and kind_of(notice.op) is not StepKind.RUN:
        facts.append(op_word(notice.op))
    if notice.duration_ms is not None:
        facts.append(duration_text(notice.duration_ms))
    if notice.kind in _RETRIES:
        facts.append(f"attempt {notice.attempt + 1} failed")
    if notice.detail:
        facts.append(one_line(notice.detail))
    if notice.kind in _RETRIES and notice.due_at_ms is not None:
        facts.append(f"again in {duration_text(max(notice.due_at_ms - notice.at_ms, 0))}")
    if notice.kind is NoticeKind.STEP_TIMED_OUT:
        facts.append("timed out")
    if notice.kind in _PAUSES and notice.due_at_ms is not None:
        shown = "%H:%M:%S" if notice.due_at_ms - notice.at_ms < DAY_MS else "%Y-%m-%d %H:%M"
        facts.append(f"until {_moment(notice.due_at_ms, tz).strftime(shown)}")
    return "  " + ", ".join(facts) if facts else ""
