"""Where in an author's code something is written, and telling the author there."""

from __future__ import annotations

import inspect
import warnings
from types import FrameType
from typing import Final

from stepwell.errors import StepwellWarning

_OURS = "stepwell."
_FIRST_TOLD: Final[dict[tuple[str, str], str]] = {}
"""What was told first, by place and topic: as many entries as there are places in the code."""


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


def tell_author(topic: str, message: str) -> None:
    """Issue a StepwellWarning at the author's line, which Python shows with its file.

    A place is told the same of a ``topic`` every time, whatever the step that passes it is called by then: so Python's
    filter shows it once for each place, however many runs and steps pass.
    """
    frame = author_frame()
    assert frame is not None, "somebody's code asked for this"
    text = _FIRST_TOLD.setdefault((place_of(frame), topic), message)
    warnings.warn_explicit(
        text,
        StepwellWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=frame.f_globals.get("__name__"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
