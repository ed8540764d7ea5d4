"""A time axis on a few terminal cells, on which a three-day sleep does not squeeze everything else into nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_IDLE_SHARE_MAX: Final = 3
"""Idle time is compressed once it takes more than this many times the room of the time in which something ran."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something from ``start_ms`` to ``end_ms``; ``idle`` when nothing ran meanwhile: a sleep, a back-off."""

    start_ms: int
    end_ms: int
    idle: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the axis: real times, and the cells ``start`` to ``end`` (fractions of a cell) that show it."""

    start_ms: int
    end_ms: int
    start: float
    end: float
    compressed: bool


@dataclass(frozen=True, slots=True)
class Scale:
    """The axis: adjoining segments, at least one, and its width in cells."""

    segments: tuple[Segment, ...]
    width: int

    def cell(self, at_ms: int) -> float:
        """Where a time lies, in cells from the left; a time off the axis is at its nearer end."""
        at_ms = min(max(at_ms, self.segments[0].start_ms), self.segments[-1].end_ms)
        index = bisect_right(self.segments, at_ms, key=lambda segment: segment.start_ms) - 1
        segment = self.segments[index]
        length_ms = segment.end_ms - segment.start_ms
        share = (at_ms - segment.start_ms) / length_ms if length_ms else 0.0
        return segment.start + share * (segment.end - segment.start)

    def cells(self, start_ms: int, end_ms: int) -> range:
        """The cells a bar covers: at least one, whatever its length."""
        first = min(int(self.cell(start_ms)), self.width - 1)
        last = max(first + 1, round(self.cell(end_ms)))
        return range(first, min(last, self.width))

    def gaps(self) -> list[int]:
        """The middle cell of every compressed segment: where the axis is cut."""
        return [int((segment.start + segment.end) / 2) for segment in self.segments if segment.compressed]


def fit(spans: Sequence[Span], width: int) -> Scale:
    """The axis that shows all ``spans`` on ``width`` cells.

    It is linear, unless idle time would leave less than a quarter of it for the rest: then idle stretches that are
    longer than all busy time together share half of the axis in equal parts.
    """
    start_ms = min(span.start_ms for span in spans)
    end_ms = max(span.end_ms for span in spans)
    stretches = _stretches(spans, start_ms, end_ms)
    busy_ms = sum(end - start for start, end, idle in stretches if not idle)
    idle_ms = end_ms - start_ms - busy_ms
    compress = 0 < busy_ms * _IDLE_SHARE_MAX < idle_ms
    cuts = [compress and idle and end - start > busy_ms for start, end, idle in stretches]
    linear_ms = sum(end - start for (start, end, _), cut in zip(stretches, cuts, strict=True) if not cut)
    total_ms = (2 if any(cuts) else 1) * linear_ms or 1
    segments: list[Segment] = []
    cell = 0.0
    for (start, end, _), cut in zip(stretches, cuts, strict=True):
        shown_ms = linear_ms / sum(cuts) if cut else end - start
        segments.append(Segment(start, end, cell, cell + shown_ms * width / total_ms, cut))
        cell = segments[-1].end
    return Scale(tuple(segments), width)


def _stretches(spans: Sequence[Span], start_ms: int, end_ms: int) -> list[tuple[int, int, bool]]:
    """The whole time as adjoining stretches, each idle or not; nothing runs in time that nothing covers."""
    edges = sorted({edge for span in spans for edge in (span.start_ms, span.end_ms)})
    stretches = [
        (start, end, all(span.idle for span in spans if span.start_ms < end and span.end_ms > start))
        for start, end in pairwise(edges)
    ]
    return stretches or [(start_ms, end_ms, False)]
