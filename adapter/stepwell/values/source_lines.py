"""Where in an author's code something is written."""

from __future__ import annotations

import inspect
from types import FrameType

_OURS = "stepwell."


def author_frame() -> FrameType | None:
    """The nearest frame of the calling code that is not this package's."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_OURS):
        frame = frame.f_back
    return frame


def place_of(frame: FrameType | None) -> str:
    """``file:line`` of a frame."""
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def line_of_author() -> str:
    """``file:line`` of the nearest code that is not this package's."""
    return place_of(author_frame())
