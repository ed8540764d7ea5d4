"""Members of what a peer sent, where one of another type counts as absent."""

from __future__ import annotations

from typing import Any


def text_or_empty(value: Any) -> str:
    """``value`` when it is a text, else the empty one."""
    return value if isinstance(value, str) else ""


def whole_or(value: Any, default: int) -> int:
    """``value`` when it is a whole number, which True and False are not; else ``default``."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default
