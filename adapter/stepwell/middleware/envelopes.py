"""Encrypted values as JSON: what is in an envelope, which key opens it, and where it may stand.

An envelope says in clear which key sealed it and what kind of place it was sealed for. The place itself is
authenticated with the value: moved elsewhere, an envelope does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any, Final

from stepwell.client import system
from stepwell.errors import DefinitionError, NonRetriableError
from stepwell.wire.encoding import canonical, decode, encode

MARK: Final = "stepwell/encrypted"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
KEY_ID_CHARS: Final = 8

_MEMBERS: Final = frozenset({MARK, "key", "for"})

Binding = tuple[str, ...]
"""``("step", function slug, hashed id)``, ``("field", name)`` of an event's data, or ``("result",)`` of a function."""


class Keyring:
    """Keys by their ids, which are derived from them. Raises DefinitionError, ImportError without ``cryptography``."""

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ModuleNotFoundError as error:
            hint = 'pip install "stepwell[encryption]"'
            raise ImportError(f"Encryption needs {error.name}, which is not installed; run: {hint}") from error
        raw = [_key_bytes(key, number) for number, key in enumerate(keys, 1)]
        if not raw:
            raise DefinitionError("Encryption: at least one key is needed; write Encryption([key])")
        self._ciphers = {_key_id(key): AESGCM(key) for key in raw}
        self.ids = list(self._ciphers)

    def sealed(self, value: Any, place: Binding) -> dict[str, Any]:
        """``value``, a JSON value, in an envelope for ``place``, by the first key."""
        nonce = system.random_bytes(NONCE_BYTES)
        text = self._ciphers[self.ids[0]].encrypt(nonce, encode(value), canonical(list(place)))
        return {MARK: base64.b64encode(nonce + text).decode(), "key": self.ids[0], "for": place[0]}

    def opened(self, value: Any, place: Binding) -> Any:
        """``value`` with every envelope in it opened; it stands at ``place`` itself.

        What is in no envelope stays as it is. Raises NonRetriableError for one that cannot be opened here.
        """
        if isinstance(value, list):
            return [self.opened(item, ()) for item in value]
        if not isinstance(value, dict):
            return value
        if value.keys() != _MEMBERS:
            return {name: self.opened(member, ("field", name)) for name, member in value.items()}
        return self._opened(value, ("result",) if value["for"] == "result" else place)

    def _opened(self, envelope: dict[str, Any], place: Binding) -> Any:
        from cryptography.exceptions import InvalidTag

        key_id = str(envelope["key"])
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise NonRetriableError(
                f'a value is encrypted with the key "{key_id}", which is not among those here: '
                f"{', '.join(self.ids)}; add that key to the list and run it again"
            )
        try:
            raw = base64.b64decode(envelope[MARK], validate=True)
            return decode(cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], canonical(list(place))))
        except (InvalidTag, ValueError, TypeError):
            raise NonRetriableError(
                f'a value encrypted with the key "{key_id}" cannot be decrypted: it was changed, or it was stored for '
                "another step, function or field; look at what wrote it"
            ) from None


def _key_bytes(key: Any, number: int) -> bytes:
    raw = key
    if isinstance(key, str):
        try:
            raw = base64.b64decode(key.translate(_URL_SAFE).rstrip("=") + "=", validate=True)
        except (binascii.Error, ValueError):
            raw = None
    if not isinstance(raw, bytes) or len(raw) != KEY_BYTES:
        raise DefinitionError(
            f"Encryption: key {number} must be {KEY_BYTES} bytes, or their base64url text; "
            "make one with secrets.token_urlsafe(32)"
        )
    return raw


_URL_SAFE: Final = str.maketrans("-_", "+/")


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"stepwell key id\n" + key).hexdigest()[:KEY_ID_CHARS]
