"""Sessions: which conversations an event belongs to, by key. What follows from an event inherits them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stepwell.errors import EventError

SESSIONS_MAX: Final = 5
SESSION_KEY_BYTES_MAX: Final = 128
SESSION_ID_BYTES_MAX: Final = 512

_OWN: Final = "sessions"
_INHERITED: Final = "propagated_sessions"


def kept_meta(meta: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What an event keeps of the ``meta`` that it was sent with: its sessions. None when it has none.

    Those of its sender win over those it inherits (``propagated_sessions``), and null takes an inherited one away.
    Raises EventError.
    """
    merged = {**_sessions(meta, _INHERITED), **_sessions(meta, _OWN)}
    sessions = {key: text for key, text in merged.items() if text is not None}
    if len(sessions) > SESSIONS_MAX:
        message = f"event sessions can include at most {SESSIONS_MAX} entries, got {len(sessions)}"
        raise EventError(f"{message}; an inherited one is left out by null")
    return {_OWN: sessions} if sessions else None


def _sessions(meta: Mapping[str, Any], member: str) -> Mapping[str, str | None]:
    value = meta.get(member)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise EventError(f'event meta: {member} must be an object of ids by key, e.g. {{"user": "u1"}}')
    return {key: _id(key, session_id) for key, session_id in value.items()}


def _id(key: str, value: Any) -> str | None:
    shown = f'event session "{key[:40]}"'
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise EventError(f"{shown} must be a string, number, or null")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = None if value is None else str(value)
    if text == "":
        raise EventError(f"{shown} cannot have an empty ID; null takes an inherited one away")
    if len(key.encode()) > SESSION_KEY_BYTES_MAX or len((text or "").encode()) > SESSION_ID_BYTES_MAX:
        bounds = f"{SESSION_KEY_BYTES_MAX} bytes a key and {SESSION_ID_BYTES_MAX} an id"
        raise EventError(f"{shown} is too long; the limit is {bounds}")
    return text
