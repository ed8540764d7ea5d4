"""``match=``: a path that must hold the same in two events. One that cannot be right is told with the right one."""

from __future__ import annotations

import re
from typing import Any, Final

_PATH = re.compile(r"""(?P<root>[A-Za-z_]\w*)(?:\.[A-Za-z_]\w*|\[\d+\]|\["[^"\\]+"\]|\['[^'\\]+'\])*""")
_PLAIN = re.compile(r"[\w .$-]+")
_HOLD_FIELDS: Final = ("data", "user")
_TOLD_APART: Final = ("name", "id", "ts")
_EXAMPLE: Final = "data.order_id"


def same_in_both(path: Any) -> str:
    """The expression that ``path`` holds the same in ``event`` and in ``async``. Raises ValueError with the fix.

    Two events are compared by what their senders put into ``data`` and ``user``, or by their version, ``v``.
    """
    found = _PATH.fullmatch(path) if isinstance(path, str) else None
    if found is None:
        raise ValueError(_no_path(path))
    if found["root"] not in _HOLD_FIELDS and path != "v":
        raise ValueError(_not_compared(path, found["root"]))
    return f"event.{path} == async.{path}"


def _no_path(path: Any) -> str:
    if isinstance(path, str) and _PLAIN.fullmatch(path):
        return f'"{path}" is no path; write {_shown(_repaired(path))}'
    return f'must be a path such as "{_EXAMPLE}", got {path!r}; for a condition use if_'


def _not_compared(path: str, root: str) -> str:
    if root in ("event", "async"):
        inner = path.removeprefix(f"{root}.")
        found = _PATH.fullmatch(inner)
        whole = inner if found and found["root"] in _HOLD_FIELDS else _repaired(inner)
        return f'"{path}" begins with {root}, but match is looked up in both events; write {_shown(whole)}'
    if path in _TOLD_APART:
        both = f'if_="event.{path} == async.{path}"'
        return f'"{path}" tells events apart; write {_shown(f"data.{path}")}, or if you mean that, {both}'
    return f'"{path}" is no part of an event, whose fields are in data; write {_shown(f"data.{path}")}'


def _repaired(path: str) -> str:
    """The path that was probably meant."""
    parts = [part.strip() for part in path.split(".") if part.strip() not in ("", "$", "event", "async")]
    if parts and parts[0] not in _HOLD_FIELDS:
        parts = ["data", *parts]
    if len(parts) < len(("data", "order_id")):
        return _EXAMPLE
    return parts[0] + "".join(f".{part}" if part.isidentifier() else f'["{part}"]' for part in parts[1:])


def _shown(path: str) -> str:
    return f"match='{path}'" if '"' in path else f'match="{path}"'
