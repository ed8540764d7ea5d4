from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from rich.console import Console

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.terminal.console import ConsoleLog

AT_MS = 1_900_000_000_123
RUN = {"run_id": "01M8226XFK38FN4FDW35DJ7CJD", "function_id": "shop-fulfil-order"}


def log(encoding: str = "utf-8", **options: Any) -> tuple[ConsoleLog, io.TextIOWrapper]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, highlight=False, **options)
    return ConsoleLog(console, tz=dt.UTC), stream


def printed(stream: io.TextIOWrapper) -> list[str]:
    stream.flush()
    stream.seek(0)
    return stream.read().splitlines()


@pytest.mark.parametrize(
    ("notice", "line"),
    [
        (
            Notice(AT_MS, NoticeKind.EVENT_RECEIVED, subject="order/created"),
            "17:46:40.123                            → event order/created",
        ),
        (
            Notice(
                AT_MS,
                NoticeKind.EVENT_WAITING,
                function_id="shop-fulfil-order",
                subject="order/created",
                due_at_ms=AT_MS + 60_000,
                detail="2 of 10 in its batch",
            ),
            "17:46:40.123  fulfil-order              ○ event order/created  2 of 10 in its batch, until 17:47:40",
        ),
        (
            Notice(AT_MS, NoticeKind.RUN_STARTED, subject="order/created", **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ● started by order/created",
        ),
        (
            Notice(AT_MS, NoticeKind.WARNED, detail='step "x" was\nlost', **RUN),
            '17:46:40.123  fulfil-order      DJ7CJD  ! warning  step "x" was lost',
        ),
        (
            Notice(AT_MS, NoticeKind.STEP_COMPLETED, subject="price", op=Op.STEP_RUN, duration_ms=12, **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ✓ price  12ms",
        ),
        (
            Notice(
                AT_MS,
                NoticeKind.STEP_RETRYING,
                subject="charge",
                op=Op.STEP_RUN,
                attempt=1,
                duration_ms=40,
                due_at_ms=AT_MS + 1_000,
                detail="Busy: try\nlater",
                **RUN,
            ),
            "17:46:40.123  fulfil-order      DJ7CJD  ↻ charge  40ms, attempt 2 failed, Busy: try later, again in 1.00s",
        ),
        (
            Notice(AT_MS, NoticeKind.STEP_FAILED, subject="charge", op=Op.STEP_RUN, detail="Declined: no", **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ✗ charge  Declined: no",
        ),
        (
            Notice(AT_MS, NoticeKind.STEP_SLEEPING, subject="nap", op=Op.SLEEP, due_at_ms=AT_MS + 60_000, **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ○ nap  sleep, until 17:47:40",
        ),
        (
            Notice(AT_MS, NoticeKind.STEP_SLEEPING, subject="nap", op=Op.SLEEP, due_at_ms=AT_MS + 86_400_000, **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ○ nap  sleep, until 2030-03-18 17:46",
        ),
        (
            Notice(
                AT_MS, NoticeKind.STEP_WAITING, subject="paid", op=Op.WAIT_FOR_EVENT, due_at_ms=AT_MS + 60_000, **RUN
            ),
            "17:46:40.123  fulfil-order      DJ7CJD  ○ paid  wait, until 17:47:40",
        ),
        (
            Notice(
                AT_MS, NoticeKind.STEP_WAITING, subject="ok", op=Op.WAIT_FOR_SIGNAL, due_at_ms=AT_MS + 86_400_000, **RUN
            ),
            "17:46:40.123  fulfil-order      DJ7CJD  ○ ok  signal, until 2030-03-18 17:46",
        ),
        (
            Notice(AT_MS, NoticeKind.STEP_COMPLETED, subject="paid", op=Op.WAIT_FOR_EVENT, duration_ms=9_000, **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ✓ paid  wait, 9.00s",
        ),
        (
            Notice(
                AT_MS,
                NoticeKind.STEP_TIMED_OUT,
                subject="paid",
                op=Op.WAIT_FOR_EVENT,
                duration_ms=60_000,
                due_at_ms=AT_MS,
                **RUN,
            ),
            "17:46:40.123  fulfil-order      DJ7CJD  ⊘ paid  wait, 1m 00s, timed out",
        ),
        (
            Notice(AT_MS, NoticeKind.STEP_TIMED_OUT, subject="call", op=Op.INVOKE_FUNCTION, duration_ms=60_000, **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ⊘ call  invoke, 1m 00s, timed out",
        ),
        (
            Notice(
                AT_MS, NoticeKind.STEP_FAILED, subject="call", op=Op.INVOKE_FUNCTION, detail="ValueError: no", **RUN
            ),
            "17:46:40.123  fulfil-order      DJ7CJD  ✗ call  invoke, ValueError: no",
        ),
        (
            Notice(AT_MS, NoticeKind.FUNCTION_RETRYING, attempt=0, due_at_ms=AT_MS + 15_000, **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ↻ retrying  attempt 1 failed, again in 15.0s",
        ),
        (
            Notice(AT_MS, NoticeKind.RUN_COMPLETED, duration_ms=1_009, **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ✓ COMPLETED  1.00s",
        ),
        (
            Notice(AT_MS, NoticeKind.RUN_FAILED, duration_ms=5, detail="ValueError: no", **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ✗ FAILED  5ms, ValueError: no",
        ),
        (
            Notice(AT_MS, NoticeKind.RUN_CANCELLED, duration_ms=5, **RUN),
            "17:46:40.123  fulfil-order      DJ7CJD  ⊘ CANCELLED  5ms",
        ),
    ],
)
def test_a_notice_is_one_line(notice: Notice, line: str):
    """Every notice is one aligned line that says when, which run, what, and why."""
    console_log, stream = log(width=40)
    console_log(Notice(AT_MS, NoticeKind.APP_SYNCED, subject="shop", detail="4 functions"))
    console_log(notice)
    assert printed(stream)[1:] == [line]


@pytest.mark.parametrize("kind", [NoticeKind.CALLED, NoticeKind.STEP_PLANNED, NoticeKind.RUN_CREATED])
def test_quiet_kinds_print_nothing(kind: NoticeKind):
    """What happens all the time, or shows in the next line anyway, is not printed."""
    console_log, stream = log()
    console_log(Notice(AT_MS, kind, subject="x", **RUN))
    assert printed(stream) == []


def test_functions_keep_their_app_while_there_are_several():
    """The app's name is left out only while there is one app."""
    console_log, stream = log()
    for app in ("shop", "mail"):
        console_log(Notice(AT_MS, NoticeKind.APP_SYNCED, subject=app))
    console_log(Notice(AT_MS, NoticeKind.RUN_COMPLETED, **RUN))
    assert "  shop-fulfil-order  DJ7CJD  " in printed(stream)[-1]


def test_the_function_column_only_grows():
    """A long function name widens its column for the lines after it."""
    console_log, stream = log()
    short, long = {**RUN, "function_id": "a"}, {**RUN, "function_id": "a" * 24}
    for members in (short, long, short):
        console_log(Notice(AT_MS, NoticeKind.RUN_COMPLETED, **members))
    assert [line.index("DJ7CJD") for line in printed(stream)] == [32, 40, 40]


def test_ascii_terminals_get_ascii():
    """A terminal without Unicode is sent none."""
    console_log, stream = log("ascii")
    console_log(Notice(AT_MS, NoticeKind.RUN_FAILED, detail="ValueError: no", **RUN))
    assert printed(stream) == ["17:46:40.123  shop-fulfil-order  DJ7CJD  x FAILED  ValueError: no"]


def test_colours_are_for_terminals_only():
    """A terminal gets colours, and a pipe plain text."""
    notice = Notice(AT_MS, NoticeKind.RUN_FAILED, **RUN)
    in_colour, terminal = log(force_terminal=True, color_system="standard")
    plain, pipe = log()
    in_colour(notice)
    plain(notice)
    assert "\x1b[1;31m" in printed(terminal)[0]
    assert "\x1b" not in printed(pipe)[0]
