"""Bodies that come compressed: inflated while they arrive, and never further than a bound."""

from __future__ import annotations

import zlib
from typing import Final, Protocol

from stepwell_orchestrator.errors import ApiError

_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
_PIECE_BYTES: Final = 16 * 1024
_MEMBERS_MAX: Final = 1_000
"""Of one gzip body. Log shippers put a member a record; a million empty ones would cost much and hold nothing."""

_IDENTITY = frozenset({"", "identity"})
_GZIP_NAMES = frozenset({"gzip", "x-gzip"})


class _Inflating(Protocol):
    """What `zlib.decompressobj` gives; its type has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class BodyReader:
    """Takes a body piece by piece as it was sent, and gives it as it was meant.

    ``content_encoding`` is the header's value. Raises ApiError 415 for an encoding that is not understood, 413 as soon
    as what was sent, or what it inflates to, is over ``bytes_max``, 400 for bytes that are not what the header says.
    """

    def __init__(self, content_encoding: str, bytes_max: int) -> None:
        self._name = content_encoding.strip().lower()
        if self._name not in _IDENTITY | _GZIP_NAMES | {"deflate"}:
            raise ApiError(
                415,
                f"the body's Content-Encoding {content_encoding[:40]!r} is not understood; send gzip, deflate or none",
            )
        self._bytes_max = bytes_max
        self._sent_bytes = 0
        self.body = bytearray()
        """What there is of it so far."""
        self._members = 0
        self._inflating: _Inflating | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._sent_bytes += len(piece)
        self._check(self._sent_bytes)
        if self._name in _IDENTITY:
            self.body += piece
            return
        for start in range(0, len(piece), _PIECE_BYTES):
            self._inflate(piece[start : start + _PIECE_BYTES])

    def close(self) -> bytes:
        """The whole body. Raises ApiError 400 when its end is missing."""
        if self._inflating is not None and not self._inflating.eof:
            raise ApiError(400, f"the body ends in the middle of its {self._name} data; was it cut off on its way?")
        return bytes(self.body)

    def _inflate(self, piece: bytes) -> None:
        while piece:
            if self._inflating is None or self._inflating.eof:
                self._inflating = self._begin(piece)
            try:
                self.body += self._inflating.decompress(piece, self._bytes_max - len(self.body) + 1)
            except zlib.error as error:
                raise ApiError(400, f"the body is not {self._name}, as its Content-Encoding says: {error}") from error
            self._check(len(self.body))
            piece = self._inflating.unused_data

    def _begin(self, piece: bytes) -> _Inflating:
        self._members += 1
        if self._members > (_MEMBERS_MAX if self._name in _GZIP_NAMES else 1):
            raise ApiError(400, f"the body goes on after the end of its {self._name} data; send one stream")
        if self._name in _GZIP_NAMES:
            return zlib.decompressobj(_GZIP)
        # The standard means zlib's format by "deflate"; some senders mean the bare one.
        return zlib.decompressobj(zlib.MAX_WBITS if piece[0] & 0x0F == zlib.DEFLATED else _RAW_DEFLATE)

    def _check(self, size: int) -> None:
        if size > self._bytes_max:
            raise ApiError(413, f"the request body is over {self._bytes_max} bytes; send it in smaller parts")
