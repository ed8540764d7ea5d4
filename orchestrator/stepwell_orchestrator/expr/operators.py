"""Operators over values, with the protocol's rules for unknown and null operands (protocol 8.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from stepwell_orchestrator.expr.values import (
    INT_MAX,
    INT_MIN,
    NUMBERS,
    TIMESTAMP_MAX_MS,
    TIMESTAMP_MIN_MS,
    UINT_MAX,
    Duration,
    Evaluation,
    Timestamp,
    Uint,
    Unknown,
    equal,
    kind,
    less,
    no_overload,
    null_as_zero,
    text,
)

Binary = Callable[[Evaluation, Any, Any], Any]
Unary = Callable[[Any], Any]


def equals(state: Evaluation, left: Any, right: Any) -> bool:
    """``==``: an unknown equals null and nothing else, not even another unknown."""
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return left is None or right is None
    return equal(state, left, right)


def differs(state: Evaluation, left: Any, right: Any) -> bool:
    """``!=``."""
    return not equals(state, left, right)


def contained(state: Evaluation, item: Any, container: Any) -> Any:
    """``in``: an element of a list or a key of a map; false when either side is unknown."""
    if isinstance(item, Unknown) or isinstance(container, Unknown):
        return False
    if type(container) is dict:
        return type(item) is str and item in container
    if type(container) is list:
        state.spend(len(container))
        return any(equal(state, item, element) for element in container)
    return no_overload("in", item, container)


def add(state: Evaluation, left: Any, right: Any) -> Any:
    """``+``: sums, joins; two different types are joined as text. An unknown operand leaves the other one."""
    if isinstance(left, Unknown):
        return False if isinstance(right, Unknown) else right
    if isinstance(right, Unknown):
        return left
    left, right = null_as_zero(left, right)
    match left, right:
        case (str(), str()) if type(left) is type(right) is str:
            state.spend_text(left, right)
            return left + right
        case (list(), list()):
            state.spend(len(left) + len(right))
            return left + right
        case (Timestamp(), Duration()) | (Duration(), Timestamp()):
            return instant(left.ms + right.ms)
        case (Duration(), Duration()):
            return Duration(left.ms + right.ms)
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return _arithmetic("+", left, right)
    if type(left) is type(right):
        return no_overload("+", left, right)
    return text(state, left) + text(state, right)


def subtract(_: Evaluation, left: Any, right: Any) -> Any:
    """``-`` of numbers and times; false when an operand is unknown."""
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return False
    left, right = null_as_zero(left, right)
    match left, right:
        case (Timestamp(), Timestamp()) | (Duration(), Duration()):
            return Duration(left.ms - right.ms)
        case (Timestamp(), Duration()):
            return instant(left.ms - right.ms)
    return _arithmetic("-", left, right)


def _numeric(operator: str) -> Binary:
    def apply(_: Evaluation, left: Any, right: Any) -> Any:
        if isinstance(left, Unknown) or isinstance(right, Unknown):
            return False
        return _arithmetic(operator, *null_as_zero(left, right))

    return apply


def _ordering(*, swap: bool, negate: bool) -> Binary:
    """One of the four orderings, from "less". An unknown counts as smaller than anything it is compared with."""

    def apply(state: Evaluation, left: Any, right: Any) -> Any:
        if isinstance(left, Unknown):
            return not swap if not negate else swap
        if isinstance(right, Unknown):
            return swap if not negate else not swap
        left, right = null_as_zero(left, right)
        result = less(state, right, left) if swap else less(state, left, right)
        return result if isinstance(result, Unknown) or not negate else not result

    return apply


def negate(value: Any) -> Any:
    """``-x``; false when it is unknown."""
    if isinstance(value, Unknown):
        return False
    if type(value) is float:
        return -value
    return _bounded(-value) if type(value) is int else no_overload("-", value)


def invert(value: Any) -> Any:
    """``!x`` of a bool; false when it is unknown, as of any other call (protocol 8.2)."""
    if isinstance(value, Unknown):
        return False
    return not value if type(value) is bool else no_overload("!", value)


def instant(ms: int) -> Timestamp | Unknown:
    """A timestamp, or the error that it is out of CEL's range."""
    return Timestamp(ms) if TIMESTAMP_MIN_MS <= ms <= TIMESTAMP_MAX_MS else Unknown("a time is out of range")


def _arithmetic(operator: str, left: Any, right: Any) -> Any:
    """Arithmetic on two numbers; int and double meet as doubles, int and uint as ints."""
    if type(left) not in NUMBERS or type(right) not in NUMBERS:
        return no_overload(operator, left, right)
    if type(left) is float or type(right) is float:
        return _doubles(operator, left, right)
    if operator in "/%" and right == 0:
        return Unknown("division by zero")
    result = _WHOLE[operator](int(left), int(right))
    return _bounded(result, unsigned=kind(left) == kind(right) == "uint")


def _bounded(result: int, *, unsigned: bool = False) -> Any:
    low, high = (0, UINT_MAX) if unsigned else (INT_MIN, INT_MAX)
    if not low <= result <= high:
        return Unknown("integer overflow")
    return Uint(result) if unsigned else result


def _doubles(operator: str, left: Any, right: Any) -> Any:
    try:
        one, other = float(left), float(right)
    except OverflowError:
        return Unknown("a number is beyond the largest double")
    match operator:
        case "+":
            return one + other
        case "-":
            return one - other
        case "*":
            return one * other
        case "/" if other:
            return one / other
        case "/":
            return math.nan if not one or math.isnan(one) else math.copysign(math.inf, one) * math.copysign(1, other)
        case _:
            return no_overload(operator, left, right)


def _quotient(left: int, right: int) -> int:
    """Division that rounds towards zero."""
    magnitude = abs(left) // abs(right)
    return magnitude if (left < 0) == (right < 0) else -magnitude


def _remainder(left: int, right: int) -> int:
    """The remainder that has the sign of the dividend."""
    return left - right * _quotient(left, right)


_WHOLE: Final[dict[str, Callable[[int, int], int]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _quotient,
    "%": _remainder,
}

BINARY: Final[dict[str, Binary]] = {
    "==": equals,
    "!=": differs,
    "in": contained,
    "+": add,
    "-": subtract,
    "*": _numeric("*"),
    "/": _numeric("/"),
    "%": _numeric("%"),
    "<": _ordering(swap=False, negate=False),
    "<=": _ordering(swap=True, negate=True),
    ">": _ordering(swap=True, negate=False),
    ">=": _ordering(swap=False, negate=True),
}
UNARY: Final[dict[str, Unary]] = {"-": negate, "!": invert}
