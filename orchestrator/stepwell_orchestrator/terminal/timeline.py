"""One run as it is drawn for a terminal, read from the answers of the API. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stepwell.wire.times import parse_instant_ms
from stepwell_orchestrator.model.step_kind import StepKind
from stepwell_orchestrator.terminal.display import KIND_WORDS, error_text, one_line, op_word, value_text

IDLE_WORDS: Final = frozenset(word for kind, word in KIND_WORDS.items() if kind.idle)
"""The words of the steps in which nothing runs."""

_CAME: Final = {KIND_WORDS[StepKind.WAIT_FOR_EVENT]: "name", KIND_WORDS[StepKind.WAIT_FOR_SIGNAL]: "signal"}
"""The member of an event, or a signal, that names it."""
_OPEN_WAITS: Final = {"waiting": "waiting", "timedout": "timed out"}


@dataclass(frozen=True, slots=True)
class Row:
    """One step. ``status`` is lower-case letters only; what has not happened yet has no time."""

    name: str
    kind: str
    status: str
    attempts: int
    queued_ms: int
    started_ms: int | None
    ended_ms: int | None
    output: Any
    error: Any

    @property
    def idle(self) -> bool:
        """Whether most of its time is waiting: for a time, an event, another run, or the next attempt."""
        return self.kind in IDLE_WORDS or self.attempts > 1 or self.status == "errored" or self.started_ms is None

    @property
    def detail(self) -> str:
        """Its error, or else its output, on one line; of what it waited for, what came."""
        if self.error is not None:
            return error_text(self.error)
        if self.status in ("waiting", "timedout"):
            return _OPEN_WAITS[self.status]
        came = self.output
        if self.kind in _CAME and isinstance(came, dict):
            return f"{one_line(str(came.get(_CAME[self.kind], '')))} {value_text(came.get('data'))}"
        return "" if came is None else value_text(came)


@dataclass(frozen=True, slots=True)
class Timeline:
    """One run as it is drawn. ``ended_ms`` is when it ended, or when it was looked at."""

    run_id: str
    function_id: str
    status: str
    event: str
    started_ms: int
    ended_ms: int
    over: bool
    output: Any
    rows: tuple[Row, ...]


def read_timeline(run: Mapping[str, Any], trace: Sequence[Mapping[str, Any]], *, now_ms: int) -> Timeline:
    """The timeline in the answers of ``GET /v1/runs/{id}`` and ``GET /v1/runs/{id}/trace``."""
    rows = tuple(_read_row(row) for row in trace)
    ended_ms = _instant(run.get("ended_at"))
    known_ms = [row.queued_ms for row in rows]
    started_ms = _instant(run.get("run_started_at"))
    return Timeline(
        run_id=str(run["run_id"]),
        function_id=str(run["function_id"]),
        status=str(run["status"]),
        event=str(run["event_name"]),
        started_ms=min([now_ms if started_ms is None else started_ms, *known_ms]),
        ended_ms=now_ms if ended_ms is None else ended_ms,
        over=ended_ms is not None,
        output=run.get("output"),
        rows=rows,
    )


def _read_row(row: Mapping[str, Any]) -> Row:
    return Row(
        name=one_line(str(row.get("name") or row["id"])),
        kind=op_word(str(row["op"])),
        status=status_word(str(row["status"])),
        attempts=int(row["attempts"]),
        queued_ms=parse_instant_ms(row["queued_at"]),
        started_ms=_instant(row.get("started_at")),
        ended_ms=_instant(row.get("ended_at")),
        output=row.get("output"),
        error=row.get("error"),
    )


def _instant(text: Any) -> int | None:
    return parse_instant_ms(text) if isinstance(text, str) else None


def status_word(status: str) -> str:
    """A status in lower-case letters only, however the API spells it."""
    return status.lower().replace("_", "").replace(" ", "")
