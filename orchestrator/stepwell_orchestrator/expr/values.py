"""The values of an evaluation: plain JSON, times, and *unknown*, with equality, order and text (protocol 8.2).

A missing attribute and an error inside an operand are the same thing here: an :class:`Unknown`, falsy, close to null.
Errors are values rather than exceptions because ``||`` and most operators turn them into ordinary results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell.errors import EncodingError
from stepwell.wire.encoding import encode
from stepwell.wire.times import format_instant
from stepwell_orchestrator.expr.errors import EvaluationError

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1
TIMESTAMP_MIN_MS: Final = -62_135_596_800_000
"""0001-01-01, the first instant CEL knows."""
TIMESTAMP_MAX_MS: Final = 253_402_300_799_999
"""The end of 9999."""

COST_MAX: Final = 200_000
"""The budget of one evaluation: a macro's round costs its body's nodes, text costs one per ``CHARS_PER_COST``."""
CHARS_PER_COST: Final = 64
DATA_DEPTH_MAX: Final = 250

_EXACT_DOUBLE: Final = 2**53


class Uint(int):
    """An unsigned integer; it differs from int in ``type()`` and in its range."""

    __slots__ = ()


class TypeName(str):
    """What ``type(x)`` yields and a type's name denotes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """An instant, to the millisecond."""

    ms: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time, to the millisecond. A zero one is truthy, as every value outside the falsy list is."""

    ms: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """No value. ``error`` says which CEL error led here; it is None for a missing attribute."""

    error: str | None = None

    def __bool__(self) -> bool:
        return False


MISSING: Final = Unknown()


@dataclass(slots=True)
class Evaluation:
    """The state of one evaluation: the variables (macro variables among them), the time, and what is left to spend."""

    variables: dict[str, Any]
    now_ms: int
    budget: int = field(default=COST_MAX)

    def spend(self, cost: int) -> None:
        """Take ``cost`` from the budget. Raises EvaluationError when it is used up."""
        self.budget -= cost
        if self.budget < 0:
            raise EvaluationError(f"the expression costs more than {COST_MAX} to evaluate; compare less data")

    def spend_text(self, *texts: str) -> None:
        """Pay for work that is linear in the length of texts."""
        self.spend(sum(map(len, texts)) // CHARS_PER_COST)


Evaluator = Callable[[Evaluation], Any]

_KINDS: Final[dict[type, str]] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    list: "list",
    dict: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    TypeName: "type",
}
TYPE_NAMES: Final = frozenset(name for name in _KINDS.values() if "." not in name)
NUMBERS: Final = frozenset({int, Uint, float})
_ORDERED: Final = frozenset({bool, str, Timestamp, Duration})
_ZEROS: Final[Mapping[type, Any]] = {
    bool: False,
    int: 0,
    Uint: Uint(0),
    float: 0.0,
    str: "",
    list: [],
    dict: {},
    Timestamp: Timestamp(0),
    Duration: Duration(0),
}


def kind(value: Any) -> str:
    """The CEL name of a value's type."""
    return _KINDS.get(type(value), type(value).__name__)


def no_overload(operation: str, *values: Any) -> Unknown:
    """The CEL error of an operation applied to types it is not defined for."""
    return Unknown(f"{operation} is not defined for {' and '.join(map(kind, values))}")


def null_as_zero(left: Any, right: Any) -> tuple[Any, Any]:
    """A null operand beside a value of another type becomes that type's zero value."""
    if left is None and right is not None:
        return _ZEROS.get(type(right)), right
    if right is None and left is not None:
        return left, _ZEROS.get(type(left))
    return left, right


def equal(state: Evaluation, left: Any, right: Any, depth: int = 0) -> bool:
    """Equality by value: numbers across int and double, lists and maps member by member, other mixed types unequal."""
    kinds = type(left), type(right)
    if kinds == (str, str):
        if len(left) > CHARS_PER_COST:
            state.spend_text(left)
        return bool(left == right)
    if kinds[0] in NUMBERS and kinds[1] in NUMBERS:
        return bool(left == right)
    if kinds[0] is not kinds[1]:
        return False
    if depth > DATA_DEPTH_MAX:
        raise EvaluationError(f"the data compared is nested more than {DATA_DEPTH_MAX} deep; compare a part of it")
    if kinds[0] is list:
        state.spend(len(left))
        return len(left) == len(right) and all(
            equal(state, one, other, depth + 1) for one, other in zip(left, right, strict=True)
        )
    if kinds[0] is dict:
        state.spend(len(left))
        return left.keys() == right.keys() and all(
            equal(state, value, right[key], depth + 1) for key, value in left.items()
        )
    return bool(left == right)


def less(state: Evaluation, left: Any, right: Any) -> bool | Unknown:
    """Whether ``left`` orders before ``right``; an error for types that have no order."""
    if type(left) is type(right) is str:
        state.spend_text(left)
    if (type(left) in NUMBERS and type(right) in NUMBERS) or (type(left) is type(right) and type(left) in _ORDERED):
        return bool(left < right)
    return no_overload("ordering", left, right)


def plain(state: Evaluation, value: Any, depth: int = 0) -> Any:
    """A result as plain JSON: times become text, type names become their name, unsigned integers plain ones."""
    match value:
        case Uint():
            return int(value)
        case TypeName():
            return str(value)
        case Timestamp():
            return format_instant(value.ms).replace(".000Z", "Z")
        case Duration():
            return _seconds(value.ms)
        case list() | dict() if depth > DATA_DEPTH_MAX:
            raise EvaluationError(f"the result is nested more than {DATA_DEPTH_MAX} deep; select a part of it")
        case list():
            state.spend(len(value))
            return [plain(state, item, depth + 1) for item in value]
        case dict():
            state.spend(len(value))
            return {key: plain(state, item, depth + 1) for key, item in value.items()}
        case str():
            state.spend_text(value)
            return value
        case int():
            # the text of an integer takes time that grows with its square
            state.spend(value.bit_length() // 64)
            return value
        case _:
            return value


def text(state: Evaluation, value: Any) -> str:
    """A value as text: whole doubles without a fraction, containers as compact JSON. Raises EvaluationError."""
    simple = plain(state, value)
    match simple:
        case str():
            return simple
        case float() if simple.is_integer() and abs(simple) <= _EXACT_DOUBLE:
            return str(int(simple))
        case float():
            return repr(simple)
    try:
        return encode(simple).decode()
    except EncodingError as error:
        raise EvaluationError(f"a value has no text: {error}") from error


def _seconds(duration_ms: int) -> str:
    whole, rest = divmod(abs(duration_ms), 1000)
    fraction = f".{rest:03d}".rstrip("0") if rest else ""
    return f"{'-' if duration_ms < 0 else ''}{whole}{fraction}s"
