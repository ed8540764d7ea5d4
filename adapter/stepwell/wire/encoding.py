"""JSON as it goes over the wire: the one place that turns values into bytes and back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

import rfc8785

from stepwell.errors import EncodingError, WireError

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SORTING_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
_EXACT_INTEGER_MAX = 2**53 - 1
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    r"|\\."
)


def _not_a_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} found; JSON has no NaN and no infinity")


def _number(text: str) -> int | float:
    """``5.0`` is read as the integer 5, so that every replay sees what the first run saw.

    JSON has one kind of number, and canonical JSON, the form of signed requests, spells both ``5``.
    """
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is beyond the largest double; send it as a string")
    return int(value) if value.is_integer() and abs(value) <= _EXACT_INTEGER_MAX else value


_DECODER = json.JSONDecoder(parse_constant=_not_a_number, parse_float=_number)


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON of ``value``.

    Raises EncodingError for what JSON cannot hold: other types, NaN and infinities, lone surrogates, cycles.
    """
    return _encoded(_ENCODER, value)


def decode(raw: bytes | str, *, repair: bool = False) -> Any:
    """The value of a JSON text in UTF-8; whatever it yields can be encoded again. ``5.0`` is read as the integer 5.

    ``repair`` puts U+FFFD for half a surrogate pair, which JavaScript sends when it cuts an emoji in two. Raises
    WireError when the text is malformed, holds NaN, an infinity or half a pair, or is nested too deeply.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode()
        if _SURROGATE.search(text):
            text = _ESCAPE.sub(_repaired if repair else _checked, text)
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"malformed JSON: {error}") from error


def canonical(value: Any) -> bytes:
    """RFC 8785 canonical JSON of ``value``, the form requests are signed in: what is read from it yields it again.

    A document with an integer beyond 2**53 that is no double falls outside that standard. It becomes compact JSON with
    sorted keys, so that it is carried exactly; both ends apply the same rule, and agree on the signed bytes.

    Raises EncodingError for what JSON cannot hold.
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.IntegerDomainError:
        return _with_large_integers(value)
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"not JSON: {error}") from error


def canonical_in_doubles(value: Any) -> bytes:
    """RFC 8785 canonical JSON as whoever reads every number as a double writes it again: JavaScript, above all.

    An integer beyond 2**53 becomes the double next to it, and is spelled as that. Raises EncodingError as
    :func:`canonical` does, and for an integer beyond the largest double.
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.IntegerDomainError:
        pass
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"not JSON: {error}") from error
    try:
        return rfc8785.dumps(_with_doubles(value, float))
    except OverflowError as error:
        raise EncodingError("an integer is beyond the largest double; send it as a string") from error
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"not JSON: {error}") from error


def _with_large_integers(value: Any) -> bytes:
    try:
        return rfc8785.dumps(_with_doubles(value, _same_digits))
    except (ValueError, OverflowError, RecursionError):
        return _encoded(_SORTING_ENCODER, value)


def _with_doubles(value: Any, double_of: Callable[[int], float]) -> Any:
    """``value`` with its large integers as doubles."""
    match value:
        case dict():
            return {key: _with_doubles(member, double_of) for key, member in value.items()}
        case list() | tuple():
            return [_with_doubles(item, double_of) for item in value]
        case int() if abs(value) > _EXACT_INTEGER_MAX:
            return double_of(value)
        case _:
            return value


def _same_digits(integer: int) -> float:
    """The double that canonical JSON spells with an integer's digits. Raises ValueError when there is none."""
    double = float(integer)
    if rfc8785.dumps(double) != str(integer).encode():
        raise ValueError("no double has these digits")
    return double


def _repaired(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape[1] else escape[0]


def _checked(escape: re.Match[str]) -> str:
    if escape[1]:
        raise ValueError(f"{escape[1]} is half a surrogate pair; JSON in UTF-8 has no lone surrogate")
    return escape[0]


def _encoded(encoder: json.JSONEncoder, value: Any) -> bytes:
    try:
        return encoder.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodingError(f"not JSON: {error}") from error
