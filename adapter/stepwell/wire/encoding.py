"""JSON as it goes over the wire: the one place that turns values into bytes and back."""

from __future__ import annotations

import json
from typing import Any

import rfc8785

from stepwell.errors import EncodingError, WireError

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON of ``value``.

    Raises EncodingError for what JSON cannot hold: other types, NaN and infinities, lone surrogates, cycles.
    """
    try:
        return _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodingError(f"not JSON: {error}") from error


def decode(raw: bytes | str) -> Any:
    """The value of a JSON text. Raises WireError when it is malformed or nested too deeply."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WireError(f"malformed JSON: {error}") from error


def canonical(value: Any) -> bytes:
    """RFC 8785 canonical JSON of ``value``, the form requests are signed in.

    A document outside that standard's domain (integers beyond 2**53) falls back to plain compact JSON, so that
    such a value can still be carried; both ends apply the same rule and therefore agree on the signed bytes.
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        return encode(value)
    except RecursionError as error:
        raise EncodingError("not JSON: nested too deeply") from error
