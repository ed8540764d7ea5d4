"""The event key, which is part of the path that events are posted to (protocol 1.6)."""

from __future__ import annotations

from urllib.parse import quote

from stepwell.errors import SignatureError


def event_path(key: str) -> str:
    """The path with the key in it, percent-encoded: it may hold a slash or anything else.

    Raises SignatureError for the few keys that no path can carry.
    """
    if key in (".", ".."):
        raise SignatureError(f'an event key cannot be "{key}": in a URL that is a folder; choose another')
    try:
        return f"/e/{quote(key, safe='')}"
    except UnicodeEncodeError:
        raise SignatureError("an event key must be text in UTF-8; choose another") from None
