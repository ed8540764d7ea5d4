"""A timeline drawn for a terminal: a header, then a bar per step on one time axis. Pure: lines out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from stepwell.wire.times import format_instant
from stepwell_orchestrator.terminal.display import Glyphs, duration_text, error_text, value_text
from stepwell_orchestrator.terminal.timeline import IDLE_WORDS, Row, Timeline, status_word
from stepwell_orchestrator.terminal.timescale import Scale, Span, fit

_NAME_CELLS_MAX: Final = 28
_OP_CELLS: Final = 6
_DURATION_CELLS: Final = 7
_BAR_CELLS_MIN: Final = 12
_DETAIL_FROM_CELLS: Final = 96
_DETAIL_SHARE: Final = 0.3

_STYLES: Final = {
    "completed": "green",
    "failed": "red",
    "errored": "yellow",
    "running": "cyan",
    "timedout": "yellow",
}


def draw_timeline(timeline: Timeline, *, width: int, glyphs: Glyphs) -> list[Text]:
    """The lines of a timeline, none wider than ``width`` cells if that is at least 60."""
    lines = [*_header(timeline, glyphs), Text()]
    if timeline.rows:
        columns = _columns(timeline, width)
        scale = fit([*_spans(timeline), Span(timeline.started_ms, timeline.ended_ms, idle=True)], columns.bar)
        lines.append(_axis(timeline, scale, columns, glyphs))
        for row in timeline.rows:
            lines.extend(_row_lines(row, timeline, scale, columns, glyphs))
        lines.append(Text())
    if timeline.over:
        lines.append(_result(timeline, width, glyphs))
    return lines


@dataclass(frozen=True, slots=True)
class _Columns:
    """Widths in cells; ``detail`` is 0 when the terminal is too narrow for that column."""

    name: int
    attempts: int
    bar: int
    detail: int

    @property
    def before_bar(self) -> int:
        return 2 + self.name + 1 + _OP_CELLS + 1 + (self.attempts + 1 if self.attempts else 0)


def _columns(timeline: Timeline, width: int) -> _Columns:
    name = min(max(cell_len(row.name) for row in timeline.rows), _NAME_CELLS_MAX)
    most = max(row.attempts for row in timeline.rows)
    attempts = len(str(most)) + 1 if most > 1 else 0
    before_bar = _Columns(name, attempts, 0, 0).before_bar
    has_detail = width >= _DETAIL_FROM_CELLS and any(row.detail for row in timeline.rows)
    detail = int(width * _DETAIL_SHARE) if has_detail else 0
    bar = width - before_bar - 1 - _DURATION_CELLS - (detail + 2 if detail else 0)
    return _Columns(name, attempts, max(bar, _BAR_CELLS_MIN), detail)


def _header(timeline: Timeline, glyphs: Glyphs) -> list[Text]:
    took = duration_text(timeline.ended_ms - timeline.started_ms)
    retries = sum(row.attempts - 1 for row in timeline.rows if row.attempts > 1)
    facts = [
        f"{timeline.status} {'in' if timeline.over else 'for'} {took}",
        _counted(len(timeline.rows), "step", "steps"),
        *([_counted(retries, "retry", "retries")] if retries else []),
    ]
    status = status_word(timeline.status)
    title = Text(f"{_mark(status, glyphs)} ", style=_STYLES.get(status, ""))
    title.append(timeline.function_id, style="bold")
    title.append(f"  {', '.join(facts)}")
    started = format_instant(timeline.started_ms)[:19].replace("T", " ")
    return [
        title,
        Text(f"  run {timeline.run_id}", style="dim"),
        Text(f"  event {timeline.event}, started {started} UTC", style="dim"),
    ]


def _axis(timeline: Timeline, scale: Scale, columns: _Columns, glyphs: Glyphs) -> Text:
    total = duration_text(timeline.ended_ms - timeline.started_ms)
    cells = list(f"0 {glyphs.rule * (scale.width - len(total) - 3)} {total}")
    for gap in scale.gaps():
        if cells[gap] == glyphs.rule:
            cells[gap] = glyphs.gap
    return Text(" " * columns.before_bar + "".join(cells), style="dim")


def _row_lines(row: Row, timeline: Timeline, scale: Scale, columns: _Columns, glyphs: Glyphs) -> list[Text]:
    style = _STYLES.get(row.status, "")
    line = Text(f"{_mark(row.status, glyphs)} ", style=style)
    line.append(f"{_clip(row.name, columns.name, glyphs)} {row.kind[:_OP_CELLS]:<{_OP_CELLS}} ", style="default")
    if columns.attempts:
        tried = f"x{row.attempts}" if row.attempts > 1 else ""
        line.append(f"{tried:<{columns.attempts}} ", style="yellow")
    line.append(_bar(row, timeline, scale, glyphs), style="yellow" if row.attempts > 1 and style == "green" else style)
    took = "" if row.started_ms is None else duration_text(_end_ms(row, timeline) - row.started_ms)
    line.append(f" {took:>{_DURATION_CELLS}}", style="default")
    if columns.detail:
        line.append("  " + _clip(row.detail, columns.detail, glyphs).rstrip(), style="red" if row.error else "dim")
        line.rstrip()
    elif row.error is not None:
        room = columns.before_bar + columns.bar + _DURATION_CELLS - 3
        return [line, Text("    " + _clip(row.detail, room, glyphs).rstrip(), style="red")]
    return [line]


def _bar(row: Row, timeline: Timeline, scale: Scale, glyphs: Glyphs) -> str:
    end_ms = _end_ms(row, timeline)
    start_ms = end_ms if row.started_ms is None else row.started_ms
    cells = [" "] * scale.width
    if start_ms > row.queued_ms:
        for cell in scale.cells(row.queued_ms, start_ms):
            cells[cell] = glyphs.queued
    for cell in scale.cells(start_ms, end_ms) if row.started_ms is not None else ():
        cells[cell] = glyphs.idle if row.kind in IDLE_WORDS else glyphs.busy
    for gap in scale.gaps():
        if cells[gap] != " ":
            cells[gap] = glyphs.gap
    return "".join(cells)


def _result(timeline: Timeline, width: int, glyphs: Glyphs) -> Text:
    failed = status_word(timeline.status) == "failed"
    label = "error " if failed else "output"
    text = error_text(timeline.output) if failed else value_text(timeline.output)
    return Text(f"{label} {_clip(text, width - len(label) - 1, glyphs).rstrip()}", style="red" if failed else "")


def _spans(timeline: Timeline) -> list[Span]:
    return [
        Span(row.queued_ms if row.started_ms is None else row.started_ms, _end_ms(row, timeline), idle=row.idle)
        for row in timeline.rows
    ]


def _end_ms(row: Row, timeline: Timeline) -> int:
    return timeline.ended_ms if row.ended_ms is None else row.ended_ms


def _mark(status: str, glyphs: Glyphs) -> str:
    marks = {
        "completed": glyphs.done,
        "failed": glyphs.failed,
        "errored": glyphs.retry,
        "cancelled": glyphs.dropped,
        "dropped": glyphs.dropped,
        "timedout": glyphs.dropped,
    }
    return marks.get(status, glyphs.open)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _clip(text: str, cells: int, glyphs: Glyphs) -> str:
    """The text padded to ``cells``, or cut there with an ellipsis."""
    if cell_len(text) <= cells:
        return set_cell_size(text, cells)
    return set_cell_size(text, cells - len(glyphs.ellipsis)) + glyphs.ellipsis
