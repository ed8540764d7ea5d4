"""Names that users choose, as parts of keys: DynamoDB bounds a key's bytes, a name's characters may take four each."""

from __future__ import annotations

import hashlib
from typing import Final

_WHOLE_BYTES_MAX: Final = 900
"""Of the 1,024 bytes that the key of an index may have (``listing`` has ``pk`` as its sort key)."""
_KEPT_BYTES: Final = 880


def in_key(name: str) -> str:
    """The name itself or, when it is long, its beginning and its hash: longer than any name that stays whole."""
    encoded = name.encode()
    if len(encoded) <= _WHOLE_BYTES_MAX:
        return name
    return encoded[:_KEPT_BYTES].decode(errors="ignore") + hashlib.sha256(encoded).hexdigest()
