"""Replies of HTTP/1.0 that announce chunks and send none: their body goes on until the connection is closed.

Some servers that speak HTTP/1.0 to whoever stands before them pass the header on and undo the chunks.
"""

from __future__ import annotations

import re
from typing import Final

_HELD_BYTES_MAX: Final = 64 * 1024
_VERSION: Final = b"HTTP/1.0 "
_HEAD_END: Final = b"\r\n\r\n"
_CHUNKED = re.compile(rb"(?im)^transfer-encoding[ \t]*:[^\r\n]*chunked[^\r\n]*\r\n")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}[ \t]*(\r\n|;)")
_CHUNK_SIZE_BEGUN = re.compile(rb"[0-9a-fA-F]{0,16}[ \t]*\r?")


class FirstReply:
    """The bytes of a connection's first reply on their way to a parser, which is not to expect chunks in vain."""

    def __init__(self) -> None:
        self._held: bytes | None = b""

    def feed(self, data: bytes) -> bytes:
        """Returns what the parser may have by now, after ``data`` came."""
        if self._held is None:
            return data
        self._held += data
        head, end, body = self._held.partition(_HEAD_END)
        if self._undecided(head, end, body):
            return b""
        return self._release(chunked=_CHUNK_SIZE.match(body) is not None)

    def close(self) -> bytes:
        """Returns what is left for the parser when the connection is closed."""
        return self._release(chunked=False)

    def _undecided(self, head: bytes, end: bytes, body: bytes) -> bool:
        if not (head.startswith(_VERSION) or _VERSION.startswith(head)) or len(head) > _HELD_BYTES_MAX:
            return False
        if not end:
            return True
        return _CHUNKED.search(head + b"\r\n") is not None and _CHUNK_SIZE_BEGUN.fullmatch(body) is not None

    def _release(self, *, chunked: bool) -> bytes:
        held, self._held = self._held or b"", None
        head, end, body = held.partition(_HEAD_END)
        if chunked or not end or not head.startswith(_VERSION):
            return held
        return _CHUNKED.sub(b"", head + b"\r\n") + b"\r\n" + body
