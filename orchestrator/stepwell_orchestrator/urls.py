"""URLs as people may see them."""

from __future__ import annotations

from urllib.parse import urlsplit


def shown_url(url: object) -> str:
    """The URL without what may be secret and tells a person little: user, password, query and fragment."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        parts = None
    if parts is None:
        return "a URL that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
