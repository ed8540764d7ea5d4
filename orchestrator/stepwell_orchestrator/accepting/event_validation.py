"""One event as a sender wrote it: checked, completed, and turned into the event that is stored (protocol 3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from stepwell.errors import EncodingError, EventError
from stepwell.wire.encoding import encode
from stepwell_orchestrator.engine.waits.waiting import INVOKED_EVENT
from stepwell_orchestrator.limits import (
    EVENT_BYTES_MAX,
    EVENT_NAME_CHARS_MAX,
    EVENT_TS_MAX_MS,
    EVENT_TS_MIN_MS,
    JSON_DEPTH_MAX,
)
from stepwell_orchestrator.model.event import Event

NOT_AN_EVENT: Final = "Request body must contain an event object or an array of event objects"
NO_NAME: Final = (
    'event name is empty: an event is {"name": ..., "data": {...}}; '
    "for a webhook name it in the URL, such as POST /e/KEY?name=stripe/{type}"
)
RESERVED_PREFIX: Final = "inngest/"

META_BYTES_MAX: Final = 32 * 1024
SESSIONS_MAX: Final = 5
SESSION_KEY_BYTES_MAX: Final = 128
SESSION_ID_BYTES_MAX: Final = 512

_ENGINE_MEMBER = "_inngest"
_UNNAMED = "invocation"


def read_event(raw: Any, *, internal_id: str, now_ms: int) -> Event:
    """The event to store for one JSON value. Raises EventError, saying what is wrong with it and how to mend it."""
    if not isinstance(raw, Mapping):
        raise EventError(NOT_AN_EVENT)
    _check_json(raw)
    return Event(
        internal_id=internal_id,
        name=_name(raw.get("name")),
        id=_text(raw, "id") or internal_id,
        ts_ms=_ts_ms(raw.get("ts")) or now_ms,
        received_at_ms=now_ms,
        data={key: value for key, value in _object(raw, "data").items() if key != _ENGINE_MEMBER},
        user=_object(raw, "user"),
        v=_text(raw, "v"),
        meta=_meta(_object(raw, "meta")),
    )


def read_invocation(raw: Mapping[str, Any], slug: str, *, internal_id: str, now_ms: int) -> Event:
    """The event that starts one function from outside, whatever name it was sent with (protocol 3.7).

    Raises EventError as :func:`read_event` does.
    """
    event = read_event({**raw, "name": _UNNAMED}, internal_id=internal_id, now_ms=now_ms)
    return replace(event, name=INVOKED_EVENT, data={**event.data, _ENGINE_MEMBER: {"fn_id": slug}})


def _check_json(raw: Mapping[str, Any]) -> None:
    try:
        encoded = encode(raw)
    except EncodingError as error:
        raise EventError(f"event is {error}; send plain JSON: no NaN, no infinity, no lone surrogate") from error
    if len(encoded) > EVENT_BYTES_MAX:
        sizes = f"Max {EVENT_BYTES_MAX} bytes / Size {len(encoded)} bytes"
        raise EventError(f"Event is over the max size: {sizes}; store the payload elsewhere and send a reference")
    brackets = encoded.count(b"{") + encoded.count(b"[")
    if brackets > JSON_DEPTH_MAX and _deeper_than(raw, JSON_DEPTH_MAX):
        raise EventError(f"event is nested more than {JSON_DEPTH_MAX} levels deep; flatten its data")


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [inner for outer in layer for inner in _members(outer) if isinstance(inner, Mapping | list | tuple)]
        if not layer:
            return False
    return True


def _members(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else list(value)


def _name(name: Any) -> str:
    if name is None:
        raise EventError(NO_NAME)
    if isinstance(name, str) and not name.strip():
        raise EventError("event name is empty")
    if not isinstance(name, str):
        raise EventError(f"event name must be a string, got {_kind(name)}")
    if len(name) > EVENT_NAME_CHARS_MAX:
        raise EventError(f"event name has {len(name)} characters; the limit is {EVENT_NAME_CHARS_MAX}: shorten it")
    if name.strip().lower().startswith(RESERVED_PREFIX):
        raise EventError(f"event name is reserved for internal use: {name}")
    return name


def _ts_ms(ts: Any) -> int | None:
    if ts is None:
        return None
    if not isinstance(ts, int | float) or isinstance(ts, bool):
        raise EventError(f"event ts must be milliseconds since 1970, got {_kind(ts)}")
    # Browsers' clocks have fractions of a millisecond.
    ts_ms = math.floor(ts)
    if ts_ms and ts_ms < EVENT_TS_MIN_MS:
        raise EventError("timestamp is before Jan 1, 1980; ts is milliseconds, not seconds")
    if ts_ms > EVENT_TS_MAX_MS:
        raise EventError("timestamp is after Dec 31, 2100; ts is milliseconds, not micro- or nanoseconds")
    return ts_ms


def _text(raw: Mapping[str, Any], member: str) -> str | None:
    value = raw.get(member)
    if value is not None and not isinstance(value, str):
        raise EventError(f"event {member} must be a string, got {_kind(value)}")
    return value


def _object(raw: Mapping[str, Any], member: str) -> Mapping[str, Any]:
    value = raw.get(member)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise EventError(f'event {member} must be an object, got {_kind(value)}; wrap it, e.g. {{"value": ...}}')
    return value


def _meta(meta: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What is kept of ``meta``: propagated sessions merged with the sender's own, which win."""
    if not meta:
        return None
    if len(encode(meta)) > META_BYTES_MAX:
        raise EventError(f"event meta is over {META_BYTES_MAX} bytes; put payload into data")
    merged = {**_object(meta, "propagated_sessions"), **_object(meta, "sessions")}
    sessions = {key: value for key, value in merged.items() if value is not None}
    if len(sessions) > SESSIONS_MAX:
        raise EventError(f"event meta has {len(sessions)} sessions; the limit is {SESSIONS_MAX}")
    for key, value in sessions.items():
        _check_session(key, value)
    rest = {key: value for key, value in meta.items() if key not in ("sessions", "propagated_sessions")}
    return rest | ({"sessions": sessions} if sessions else {}) or None


def _check_session(key: str, value: Any) -> None:
    if not isinstance(value, str):
        raise EventError(f"event meta: session {key[:40]!r} must be a string, got {_kind(value)}")
    if len(key.encode()) > SESSION_KEY_BYTES_MAX or len(value.encode()) > SESSION_ID_BYTES_MAX:
        bounds = f"{SESSION_KEY_BYTES_MAX} bytes a key and {SESSION_ID_BYTES_MAX} an id"
        raise EventError(f"event meta: session {key[:40]!r} is too long; the limit is {bounds}")


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case None:
            return "null"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"
