from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from stepwell_orchestrator.terminal.display import ASCII, UNICODE, Glyphs
from stepwell_orchestrator.terminal.drawing import draw_timeline
from stepwell_orchestrator.terminal.timeline import read_timeline
from tests.orchestrator.cli.samples import RUN_ID, START_MS, run_answer, trace_row

DAY = 86_400_000
GONE = {"name": "ConnectionError", "message": "the loyalty\nservice is gone"}


def drawn(run: dict[str, Any], *rows: dict[str, Any], width: int = 80, glyphs: Glyphs = UNICODE) -> list[str]:
    timeline = read_timeline(run, rows, now_ms=START_MS + 2_000)
    return [line.plain.rstrip() for line in draw_timeline(timeline, width=width, glyphs=glyphs)]


ORDER = (
    trace_row("price-order", (0, 2, 20), output="12.40"),
    trace_row("fraud-check", (22, 25, 110), output=3),
    trace_row("shipping-quote", (22, 60, 100), output={"carrier": "DHL"}),
    trace_row("charge", (115, 117, 260), attempts=3, output={"id": "ch-1"}),
    trace_row("award-points", (265, 270, 320), status="Failed", attempts=2, error=GONE),
    trace_row("cool-off", (320, 320, 380), op="Sleep"),
    trace_row("announce", (385, 386, 390), output=["01J", "01K"]),
)


def test_a_whole_run():
    """Parallel steps overlap, a retried one says how often, a sleep is light, and a failure tells why."""
    assert drawn(run_answer(400, output={"ok": True}), *ORDER, width=100) == [
        "✓ shop-fulfil-order  Completed in 400ms, 7 steps, 3 retries",
        f"  run {RUN_ID}",
        "  event order/created, started 2030-03-17 17:46:40 UTC",
        "",
        "                           0 ───────────────────────── 400ms",
        "✓ price-order    run       ██                                   18ms  \"12.40\"",
        "✓ fraud-check    run        ·███████                            85ms  3",
        "✓ shipping-quote run        ···████                             40ms  {\"carrier\":\"DHL\"}",
        "✓ charge         run    x3          ████████████               143ms  {\"id\":\"ch-1\"}",
        "✗ award-points   run    x2                      ·████           50ms  ConnectionError: the loyalty …",
        "✓ cool-off       sleep                               ░░░░░      60ms",
        "✓ announce       run                                      █      4ms  [\"01J\",\"01K\"]",
        "",
        "output {\"ok\":true}",
    ]  # fmt: skip


def test_a_narrow_terminal_has_errors_below_their_step():
    """Where there is no room for a column of results, errors keep a line of their own."""
    lines = drawn(run_answer(400), *ORDER, width=60, glyphs=ASCII)
    assert lines[4:] == [
        "                           0 ----------------- 400ms",
        "+ price-order    run       #                            18ms",
        "+ fraud-check    run        ######                      85ms",
        "+ shipping-quote run        ..###                       40ms",
        "+ charge         run    x3        #########            143ms",
        "x award-points   run    x2                 ####         50ms",
        "    ConnectionError: the loyalty service is gone",
        "+ cool-off       sleep                         ----     60ms",
        "+ announce       run                               #     4ms",
        "",
        "output null",
    ]


def test_a_long_sleep_is_cut():
    """Three days of sleep leave room for the steps around it, and the cut shows in the bar and on the axis."""
    rows = (
        trace_row("before", (0, 0, 10)),
        trace_row("nap", (10, 10, 10 + 3 * DAY), op="Sleep"),
        trace_row("after", (10 + 3 * DAY, 10 + 3 * DAY, 30 + 3 * DAY)),
    )
    assert drawn(run_answer(30 + 3 * DAY), *rows, width=60)[4:8] == [
        "                0 ─────────────≈────────────── 3d 0h",
        "✓ before run    ██████                                  10ms",
        "✓ nap    sleep        ░░░░░░░░░≈░░░░░░░░               3d 0h",
        "✓ after  run                            ████████████    20ms",
    ]


def test_a_run_under_way():
    """A run that has not ended is drawn up to now, with dots for what waits its turn and nothing about a result."""
    rows = (
        trace_row("price-order", (0, 0, 500)),
        trace_row("charge", (500, 500, None), status="Errored", attempts=1, error={"name": "Busy", "message": "later"}),
        trace_row("later", (1_000, None, None), status="Queued", attempts=0),
    )
    assert drawn(run_answer(), *rows, width=60) == [
        "○ shop-fulfil-order  Running for 2.00s, 3 steps",
        f"  run {RUN_ID}",
        "  event order/created, started 2030-03-17 17:46:40 UTC",
        "",
        "                     0 ─────────────────────── 2.00s",
        "✓ price-order run    ████████                          500ms",
        "↻ charge      run           ████████████████████████   1.50s",
        "    Busy: later",
        "○ later       run                   ················",
        "",
    ]


PAID = {"id": "e-1", "name": "order/paid", "data": {"amount": 5}, "ts": START_MS, "user": {}}
TIMED_OUT = {"name": "InngestInvokeTimeoutError", "message": "Timed out waiting for invoked function to complete"}


def test_waits():
    """Waits are light bars with what came of them: an event or a signal with its data, a result, nothing in time."""
    rows = (
        trace_row("paid", (0, 0, 100), op="WaitForEvent", output=PAID),
        trace_row("ok", (0, 0, 50), op="WaitForSignal", output={"signal": "approve", "data": None}),
        trace_row("square", (0, 0, 100), op="InvokeFunction", output={"n": 4}),
        trace_row("late", (0, 0, 200), op="WaitForEvent", status="TimedOut"),
        trace_row("slow", (0, 0, 200), op="InvokeFunction", status="TimedOut", error=TIMED_OUT),
        trace_row("open", (100, 100, None), op="WaitForSignal", status="Waiting"),
    )
    assert drawn(run_answer(200), *rows, width=100)[4:11] == [
        "                0 ──────────────────────────────────── 200ms",
        "✓ paid   wait   ░░░░░░░░░░░░░░░░░░░░░░                         100ms  order/paid {\"amount\":5}",
        "✓ ok     signal ░░░░░░░░░░░                                     50ms  approve null",
        "✓ square invoke ░░░░░░░░░░░░░░░░░░░░░░                         100ms  {\"n\":4}",
        "⊘ late   wait   ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   200ms  timed out",
        "⊘ slow   invoke ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   200ms  InngestInvokeTimeoutError: Ti…",
        "○ open   signal                       ░░░░░░░░░░░░░░░░░░░░░░   100ms  waiting",
    ]  # fmt: skip


def test_a_failed_run_without_steps():
    """A run that failed before its first step has a header and the error."""
    failed = run_answer(5, status="Failed", output={"name": "ValueError", "message": "no"})
    assert drawn(failed) == [
        "✗ shop-fulfil-order  Failed in 5ms, 0 steps",
        f"  run {RUN_ID}",
        "  event order/created, started 2030-03-17 17:46:40 UTC",
        "",
        "error  ValueError: no",
    ]


def test_long_and_wide_names_are_cut():
    """A name longer than its column is cut, counting wide characters as the two cells they take."""
    lines = drawn(run_answer(10), trace_row("注文の在庫を確認して引き当てる処理です", (0, 0, 10)))
    assert lines[5] == f"✓ 注文の在庫を確認して引き当 … run    {'█' * 34}    10ms"


@pytest.mark.parametrize("width", [60, 80, 95, 96, 120, 200])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_no_line_is_wider_than_the_terminal(width: int, glyphs: Glyphs):
    """Lines fit, whatever the width, so that a terminal never wraps them."""
    lines = drawn(run_answer(400, output="x" * 300), *ORDER, width=width, glyphs=glyphs)
    assert max(map(cell_len, lines)) <= width
