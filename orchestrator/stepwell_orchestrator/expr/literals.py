"""Constants: number and string tokens to plain values."""

from __future__ import annotations

import math
import re
from typing import Final

from stepwell_orchestrator.expr.syntax import Position
from stepwell_orchestrator.expr.values import INT_MAX, INT_MIN, UINT_MAX, Uint

_SIMPLE: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "?": "?",
    '"': '"',
    "'": "'",
    "`": "`",
}
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|)", re.DOTALL
)


def integer(token: str, at: Position) -> int:
    """The value of an int token. Raises ExpressionError when it does not fit 64 bits."""
    value = int(token, 16 if "0x" in token else 10)
    if not INT_MIN <= value <= INT_MAX:
        raise at.error(f"{token} does not fit a 64-bit integer")
    return value


def unsigned(token: str, at: Position) -> Uint:
    """The value of a uint token, ``5u``. Raises ExpressionError when it does not fit 64 bits."""
    digits = token[:-1]
    value = int(digits, 16 if "0x" in digits else 10)
    if not 0 <= value <= UINT_MAX:
        raise at.error(f"{token} does not fit an unsigned 64-bit integer")
    return Uint(value)


def double(token: str, at: Position) -> float:
    """The value of a double token. Raises ExpressionError when it is beyond a double."""
    value = float(token)
    if math.isinf(value):
        raise at.error(f"{token} is beyond the largest double")
    return value


def string(token: str, at: Position) -> str:
    """The value of a string token in any quoting. Raises ExpressionError at an escape that CEL does not have."""
    raw = token[0] in "rR"
    body = token[1:] if raw else token
    quote = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    body = body[quote:-quote]
    if raw or "\\" not in body:
        return body

    def replace(match: re.Match[str]) -> str:
        simple, hex2, hex4, hex8, octal = match.groups()
        if simple:
            return _SIMPLE[simple]
        digits = hex2 or hex4 or hex8
        code = int(digits, 16) if digits else int(octal, 8) if octal else -1
        if code < 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise at.error("this string has an escape that CEL does not know; write a backslash as \\\\")
        return chr(code)

    return _ESCAPE.sub(replace, body)
