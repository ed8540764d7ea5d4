"""Request and response signatures, and the hashed key used as an API bearer (protocol 1.4 - 1.6).

Pure: the time is passed in. A signing key is text such as ``signkey-prod-0a1b..``; its prefix never enters a hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final

from stepwell.errors import EncodingError, SignatureError, WireError
from stepwell.wire.encoding import canonical, decode

WINDOW_S: Final = 300
"""A signature further than this from the verifier's clock, in either direction, is refused."""

_PREFIX = re.compile(r"^signkey-\w+-", re.ASCII)
_HEADER = re.compile(r"t=([0-9]{1,15})&s=([0-9a-f]{64})")


def sign(message: bytes, key: str, now_s: int) -> str:
    """The signature header value over ``message`` (already in the form that goes over the wire)."""
    return f"t={now_s}&s={_digest(message, key, now_s)}"


def verify_request(body: bytes, header: str | None, keys: Iterable[str], now_s: int) -> str:
    """Check a request signature over the canonical form of ``body``; returns the key that matched.

    Raises SignatureError when the header is missing, malformed, outside the window, or matches none of ``keys``.
    """
    return _verify(_signed_form(body), header, keys, now_s)


def verify_response(body: bytes, header: str | None, keys: Iterable[str], now_s: int) -> str:
    """Check a response signature, which is over the raw bytes (one trailing newline is tolerated)."""
    try:
        return _verify(body, header, keys, now_s)
    except SignatureError:
        if not body.endswith(b"\n"):
            raise
        return _verify(body[:-1], header, keys, now_s)


def hash_signing_key(key: str) -> str:
    """The bearer form of a signing key: its prefix, then the hex SHA-256 of the decoded body.

    Raises SignatureError when the body is not hexadecimal.
    """
    prefix = _PREFIX.match(key)
    return (prefix[0] if prefix else "") + _key_hash(_strip(key))


def hash_event_key(key: str) -> str:
    """The introspection form of an event key."""
    return hashlib.sha256(key.encode()).hexdigest()


def bearer_matches(authorization: str | None, keys: Iterable[str]) -> bool:
    """Whether an ``Authorization`` header carries one of the keys, raw or hashed, with or without its prefix.

    A key whose body is not hexadecimal has no hashed form; it is accepted raw.
    """
    scheme, _, token = (authorization or "").partition(" ")
    offered = _bytes(_strip(token.strip()))
    if scheme.lower() != "bearer" or not offered:
        return False
    accepted = [_bytes(form) for key in keys for form in _bearer_forms(_strip(key))]
    # the sum looks at every form, so that the time taken tells none apart
    return sum(hmac.compare_digest(offered, form) for form in accepted) > 0


def _verify(message: bytes, header: str | None, keys: Iterable[str], now_s: int) -> str:
    if not header:
        raise SignatureError("the request is not signed; set the same signing key on both sides")
    match = _HEADER.fullmatch(header)
    if match is None:
        raise SignatureError("the signature header is malformed")
    signed_s, signature = int(match[1]), match[2]
    if abs(now_s - signed_s) > WINDOW_S:
        raise SignatureError(f"the signature is {abs(now_s - signed_s)} s off; check both clocks")
    for key in keys:
        if hmac.compare_digest(_digest(message, key, signed_s), signature):
            return key
    raise SignatureError("the signature matches no configured signing key")


def _signed_form(body: bytes) -> bytes:
    try:
        return canonical(decode(body)) if body else b""
    except (WireError, EncodingError):
        return body


def _digest(message: bytes, key: str, signed_s: int) -> str:
    return hmac.new(_strip(key).encode(), message + str(signed_s).encode(), hashlib.sha256).hexdigest()


def _strip(key: str) -> str:
    return _PREFIX.sub("", key)


def _bytes(text: str) -> bytes:
    """Header text may hold anything, half a surrogate pair included."""
    return text.encode("utf-8", "surrogatepass")


def _bearer_forms(body: str) -> tuple[str, ...]:
    try:
        return body, _key_hash(body)
    except SignatureError:
        return (body,)


def _key_hash(body: str) -> str:
    try:
        return hashlib.sha256(bytes.fromhex(body)).hexdigest()
    except ValueError as error:
        raise SignatureError("a signing key must look like signkey-<env>-<hexadecimal>") from error
