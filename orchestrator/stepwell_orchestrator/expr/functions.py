"""The functions an expression may call: the standard ones and the protocol's additions (protocol 8.2)."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from stepwell.errors import WireError
from stepwell.wire.encoding import decode
from stepwell.wire.times import parse_duration_ms, parse_instant_ms
from stepwell_orchestrator.expr.operators import instant
from stepwell_orchestrator.expr.regex import Pattern, compile_pattern
from stepwell_orchestrator.expr.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    Evaluation,
    Timestamp,
    TypeName,
    Uint,
    Unknown,
    kind,
    no_overload,
    text,
)

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DOUBLE = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|[iI]nf(inity)?|[nN]a[nN])", re.ASCII)
_BOOLS: Final = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "0"), False),
}
_PATTERN_COST: Final = 2_000
"""Compiling a pattern that came with the data."""
_TIME_COST: Final = 100
"""Reading a time: several formats are tried."""
_DATE_MIN_S: Final = 946_684_800
_DATE_S_LIMIT: Final = 10**10
_DATE_MS_LIMIT: Final = 10**13


@dataclass(frozen=True, slots=True)
class Function:
    """How to call one function: how many arguments, and what it gives when one of them is unknown.

    ``of`` takes the arguments by position, the target of a method first; none of them is unknown.
    """

    arguments: int
    of: Callable[..., Any]
    unknown: Any = False


def _size(state: Evaluation, value: Any) -> Any:
    return len(value) if type(value) in (str, list, dict) else no_overload("size", value)


def _texts(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    """A function of texts alone, paid for by their length."""

    def call(state: Evaluation, *values: Any) -> Any:
        if any(type(value) is not str for value in values):
            return no_overload(name, *values)
        state.spend_text(*values)
        return apply(*values)

    return call


def _matches(state: Evaluation, value: Any, pattern: Any) -> Any:
    if type(value) is not str or type(pattern) is not str:
        return no_overload("matches", value, pattern)
    state.spend(_PATTERN_COST)
    try:
        return _search(state, value, compile_pattern(pattern))
    except ValueError as error:
        return Unknown(f"matches: {error}")


def matches_constant(pattern: str) -> Function:
    """``matches`` with a pattern known beforehand. Raises ValueError when it is not a usable pattern."""
    compiled = compile_pattern(pattern)

    def call(state: Evaluation, value: Any) -> Any:
        return _search(state, value, compiled) if type(value) is str else no_overload("matches", value, pattern)

    return Function(1, call)


def _search(state: Evaluation, value: str, pattern: Pattern) -> bool | Unknown:
    state.spend(pattern.cost(value))
    try:
        return pattern.found_in(value)
    except UnicodeEncodeError:
        return Unknown("matches: the text has a lone surrogate")


def _int(state: Evaluation, value: Any) -> Any:
    return _whole("int", INT_MIN, INT_MAX, value)


def _uint(state: Evaluation, value: Any) -> Any:
    result = _whole("uint", 0, UINT_MAX, value)
    return result if isinstance(result, Unknown) else Uint(result)


def _whole(name: str, low: int, high: int, value: Any) -> Any:
    match value:
        case bool():
            return no_overload(name, value)
        case int():
            result = int(value)
        case float() if math.isfinite(value):
            result = math.trunc(value)
        case str() if type(value) is str and _INTEGER.fullmatch(value):
            result = int(value)
        case Timestamp() if name == "int":
            result = value.ms // 1000
        case str() | float():
            return Unknown(f"{name}: the value is not a whole number")
        case _:
            return no_overload(name, value)
    return result if low <= result <= high else Unknown(f"{name}: {result} is out of range")


def _double(state: Evaluation, value: Any) -> Any:
    match value:
        case bool():
            return no_overload("double", value)
        case int() | float():
            try:
                return float(value)
            except OverflowError:
                return Unknown("double: the value is out of range")
        case str() if type(value) is str:
            return float(value) if _DOUBLE.fullmatch(value) else Unknown("double: the text is not a number")
        case _:
            return no_overload("double", value)


def _string(state: Evaluation, value: Any) -> Any:
    return no_overload("string", value) if value is None or type(value) in (list, dict) else text(state, value)


def _bool(state: Evaluation, value: Any) -> Any:
    if type(value) is bool:
        return value
    if type(value) is not str:
        return no_overload("bool", value)
    return _BOOLS.get(value, Unknown("bool: the text is neither true nor false"))


def _type(state: Evaluation, value: Any) -> TypeName:
    return TypeName(kind(value))


def _duration(state: Evaluation, value: Any) -> Any:
    if type(value) is Duration:
        return value
    return _span(state, value) if type(value) is str else no_overload("duration", value)


def _timestamp(state: Evaluation, value: Any) -> Any:
    match value:
        case int() if type(value) is not bool:
            return instant(value * 1000)
        case Timestamp():
            return value
        case str() if type(value) is str:
            return _instant(state, value)
        case _:
            return no_overload("timestamp", value)


def _date(state: Evaluation, value: Any) -> Any:
    """A time from a text in any accepted format, or from a count whose unit its size tells (protocol 8.4)."""
    match value:
        case str() if type(value) is str:
            return _instant(state, value)
        case int() if type(value) is not bool:
            if value < _DATE_MIN_S:
                return Unknown("date: the number is too small to be a time")
            if value < _DATE_S_LIMIT:
                return instant(value * 1000)
            return instant(value if value < _DATE_MS_LIMIT else value // 1_000_000)
        case Timestamp():
            return value
        case _:
            return no_overload("date", value)


def _now(state: Evaluation) -> Timestamp:
    return Timestamp(state.now_ms)


def _now_shifted(sign: int) -> Callable[..., Any]:
    def call(state: Evaluation, value: Any) -> Any:
        span = _duration(state, value)
        return span if isinstance(span, Unknown) else instant(state.now_ms + sign * span.ms)

    return call


def _json_parse(state: Evaluation, value: Any) -> Any:
    """The object in a text; anything else is the empty object."""
    if type(value) is not str:
        return {}
    state.spend_text(value)
    try:
        parsed = decode(value)
    except WireError:
        return {}
    return parsed if type(parsed) is dict else {}


def _base64(value: str) -> Any:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return Unknown("b64decode: the text is not base64 of UTF-8")


def _span(state: Evaluation, value: str) -> Duration | Unknown:
    state.spend(_TIME_COST)
    try:
        return Duration(parse_duration_ms(value))
    except WireError as error:
        return Unknown(str(error))


def _instant(state: Evaluation, value: str) -> Timestamp | Unknown:
    state.spend(_TIME_COST)
    try:
        return instant(parse_instant_ms(value))
    except WireError as error:
        return Unknown(str(error))


CASTS: Final = frozenset({"int", "uint", "double"})

FUNCTIONS: Final[dict[str, Function]] = {
    "size": Function(1, _size, unknown=0),
    "matches": Function(2, _matches),
    "int": Function(1, _int),
    "uint": Function(1, _uint),
    "double": Function(1, _double),
    "string": Function(1, _string),
    "bool": Function(1, _bool),
    "type": Function(1, _type),
    "duration": Function(1, _duration),
    "timestamp": Function(1, _timestamp),
    "date": Function(1, _date),
    "now": Function(0, _now),
    "now_plus": Function(1, _now_shifted(1)),
    "now_minus": Function(1, _now_shifted(-1)),
    "lowercase": Function(1, _texts("lowercase", str.lower)),
    "uppercase": Function(1, _texts("uppercase", str.upper)),
    "b64decode": Function(1, _texts("b64decode", _base64)),
    "json_parse": Function(1, _json_parse),
}
METHODS: Final[dict[str, Function]] = {
    "size": FUNCTIONS["size"],
    "matches": FUNCTIONS["matches"],
    "startsWith": Function(2, _texts("startsWith", str.startswith)),
    "endsWith": Function(2, _texts("endsWith", str.endswith)),
    "contains": Function(2, _texts("contains", str.__contains__)),
}
