"""What ends the process, told apart from what user code raises."""

from __future__ import annotations

import dis
import signal
from types import CodeType, TracebackType
from typing import Final

_ENDING_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")
_RAISE: Final = dis.opmap["RAISE_VARARGS"]


def ends_process(error: BaseException) -> bool:
    """Whether a signal's handler raised ``error``: a Ctrl-C, or a SIGTERM that is to end the process.

    ``sys.exit()`` and ``raise KeyboardInterrupt`` of user code are failures like any other. Python's own handler of
    Ctrl-C leaves no frame: what it raises comes up where nothing was raised.
    """
    if not issubclass(type(error), SystemExit | KeyboardInterrupt):
        return False
    frames = _frames(error.__traceback__)
    if any(frame.tb_frame.f_code in _handlers() for frame in frames):
        return True
    return isinstance(error, KeyboardInterrupt) and bool(frames) and not _is_raise(frames[-1])


def _frames(traceback: TracebackType | None) -> list[TracebackType]:
    frames = []
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    return frames


def _handlers() -> set[CodeType]:
    """The code of the installed handlers that are written in Python."""
    signals = [number for name in _ENDING_SIGNALS if (number := getattr(signal, name, None)) is not None]
    handlers = [signal.getsignal(number) for number in signals]
    codes = [getattr(getattr(handler, "__func__", handler), "__code__", None) for handler in handlers]
    return {code for code in codes if code is not None}


def _is_raise(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_code[frame.tb_lasti] == _RAISE
