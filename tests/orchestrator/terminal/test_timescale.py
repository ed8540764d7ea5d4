from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepwell_orchestrator.terminal.timescale import Scale, Span, fit

TIMES = st.integers(0, 10**12)


@st.composite
def spans(draw: st.DrawFn) -> list[Span]:
    """A run's worth of spans."""
    edges = draw(st.lists(st.tuples(TIMES, TIMES, st.booleans()), min_size=1, max_size=8))
    return [Span(min(one, other), max(one, other), idle) for one, other, idle in edges]


def cells(scale: Scale, *times: int) -> list[float]:
    return [scale.cell(time) for time in times]


def test_a_run_without_long_idle_time_is_linear():
    """Time is in proportion as long as waiting does not dwarf the rest."""
    scale = fit([Span(0, 40, idle=False), Span(40, 100, idle=True)], 50)
    assert cells(scale, 0, 40, 70, 100) == [0, 20, 35, 50]
    assert scale.gaps() == []


def test_a_long_sleep_takes_half_of_the_axis():
    """A sleep of a day leaves the steps around it half of the axis, and is marked as cut."""
    day = 86_400_000
    scale = fit([Span(0, 30, idle=False), Span(30, 30 + day, idle=True), Span(30 + day, 60 + day, idle=False)], 40)
    assert cells(scale, 0, 30, 30 + day, 60 + day) == [0, 10, 30, 40]
    assert scale.gaps() == [20]


def test_two_long_sleeps_share_half_of_the_axis():
    """Each cut stretch gets the same part, however long it is."""
    busy = [Span(0, 10, idle=False), Span(1_010, 1_020, idle=False)]
    scale = fit([*busy, Span(10, 1_010, idle=True), Span(1_020, 9_020, idle=True)], 40)
    assert cells(scale, 0, 10, 1_010, 1_020, 9_020) == [0, 10, 20, 30, 40]
    assert scale.gaps() == [15, 35]


def test_a_sleep_beside_a_running_step_is_not_idle_time():
    """What runs during a sleep keeps the axis linear."""
    scale = fit([Span(0, 1_000, idle=True), Span(0, 1_000, idle=False)], 10)
    assert scale.gaps() == []


def test_uncovered_time_counts_as_idle():
    """The wait before a function is tried again is cut although no step covers it."""
    scale = fit([Span(0, 10, idle=False), Span(10_000, 10_010, idle=False)], 40)
    assert cells(scale, 10, 10_000) == [10, 30]


def test_a_bar_without_length_is_one_cell():
    """A step of no measurable length shows, at either end of the axis too."""
    scale = fit([Span(0, 100, idle=False)], 10)
    assert [list(scale.cells(at, at)) for at in (0, 50, 100)] == [[0], [5], [9]]


def test_a_run_without_length_fits():
    """A run that took no time at all is drawn all the same."""
    assert list(fit([Span(7, 7, idle=False)], 10).cells(7, 7)) == [0]


@given(spans(), st.integers(12, 200), st.lists(TIMES, min_size=2, max_size=6))
def test_the_axis_keeps_order_and_bounds(found: list[Span], width: int, times: list[int]):
    """Later is never further left, and nothing lies off the axis."""
    scale = fit(found, width)
    shown = cells(scale, *sorted(times))
    assert shown == sorted(shown)
    assert all(-1e-6 <= cell <= width + 1e-6 for cell in shown)
    for span in found:
        bar = scale.cells(span.start_ms, span.end_ms)
        assert 0 <= bar.start < bar.stop <= width
