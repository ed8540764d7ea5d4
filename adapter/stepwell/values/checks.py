"""Checks on what a function author writes; each refusal names function and field, says why, and how to fix it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from stepwell.errors import DefinitionError, WireError
from stepwell.wire.times import format_duration, parse_duration_ms

Duration = str | dt.timedelta

EXPRESSION_MAX_CHARS: Final = 4096
ID_MAX_CHARS: Final = 100

_PATH = re.compile(r"""[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\]|\["[^"\\]+"\])*""")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_STRING = re.compile(r"""[rRbB]{0,2}(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""")
_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_SPACED_DOT = re.compile(r"\s*\.\s*")
_FREE_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?!\s*\(|\w)")
_CLOSING = {")": "(", "]": "[", "}": "{"}
_CEL_WORDS = frozenset(
    {"true", "false", "null", "in", "int", "uint", "double", "string", "bytes", "bool", "list", "map", "type"}
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: in a field of an app's or a function's definition, or an argument of a step call."""

    owner: str
    field: str
    kind: Literal["app", "function", "step"] = "function"

    def at(self, member: str) -> Place:
        """A member of this field."""
        return replace(self, field=f"{self.field}.{member}")

    def error(self, problem: str) -> DefinitionError:
        """A refusal of the value here."""
        return DefinitionError(f'{self.kind} "{self.owner}", {self.field}: {problem}')

    def whole(self, value: Any, low: int, high: int | None = None) -> int:
        """``value`` as a whole number in ``low .. high``."""
        if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
            bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
            raise self.error(f"must be a whole number {bounds}, got {value!r}")
        return value

    def duration_ms(self, value: Any, low_ms: int, high_ms: int) -> int:
        """A duration in milliseconds, rounded up, in ``low_ms .. high_ms``."""
        duration_ms = self._parsed_ms(value)
        if not low_ms <= duration_ms <= high_ms:
            bounds = f"from {format_duration(low_ms)} to {format_duration(high_ms)}"
            raise self.error(f"must be {bounds}, got {format_duration(duration_ms)}")
        return duration_ms

    def duration(self, value: Any, low_ms: int, high_ms: int) -> str:
        """The wire text of a duration in ``low_ms .. high_ms``."""
        return format_duration(self.duration_ms(value, low_ms, high_ms))

    def choice(self, value: Any, allowed: Collection[str]) -> str:
        """``value`` as one of the ``allowed`` words."""
        if not isinstance(value, str) or value not in allowed:
            words = " or ".join(f'"{word}"' for word in allowed)
            raise self.error(f"must be {words}, got {value!r}")
        return value

    def expression(self, value: Any, *variables: str) -> str:
        """``value`` as an expression over ``variables``."""
        check_expression(self, value, variables)
        return str(value)

    def condition(self, match: Any, if_: Any) -> str | None:
        """The expression over ``event``, which started the run, and ``async``, which arrives, that two arguments mean.

        ``match`` is a path that must hold the same in both; ``if_`` is the whole expression.
        """
        if match is not None and if_ is not None:
            raise self.error("has both match and if_; write the whole condition as if_")
        if match is not None:
            return self.at("match")._same_in_both(match)
        return None if if_ is None else self.at("if_").expression(if_, "event", "async")

    def _same_in_both(self, path: Any) -> str:
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            raise self.error(f'must be a path such as "data.order_id", got {path!r}; for a condition use if_')
        return f"event.{path} == async.{path}"

    def _parsed_ms(self, value: Any) -> int:
        if isinstance(value, dt.timedelta):
            return -(-value // dt.timedelta(milliseconds=1))
        if not isinstance(value, str):
            raise self.error(f'must be a duration such as "30s" or a timedelta, got {value!r}')
        try:
            return parse_duration_ms(value)
        except WireError as error:
            raise self.error(str(error)) from None


def check_id(owner: str, value: Any) -> str:
    """``value`` as an app or function id; ``owner`` says whose it is in the refusal."""
    if not isinstance(value, str) or len(value) > ID_MAX_CHARS or not _ID.fullmatch(value):
        raise DefinitionError(
            f"{owner}: id must be 1 to {ID_MAX_CHARS} letters, digits, dots, dashes or underscores, starting with a "
            f'letter or digit, got {value!r}; write it like "fulfil-order"'
        )
    return value


def check_expression(place: Place, text: Any, variables: Collection[str]) -> None:
    """Refuse what cannot be an expression over ``variables``; the server compiles it in full when the app is synced."""
    if not isinstance(text, str) or not text.strip():
        raise place.error(f'must be an expression such as "event.data.amount > 100", got {text!r}')
    if len(text) > EXPRESSION_MAX_CHARS:
        raise place.error(f"is {len(text)} characters; the limit is {EXPRESSION_MAX_CHARS}")
    code = _SPACED_DOT.sub(".", _STRING.sub("0", text))
    if '"' in code or "'" in code:
        raise place.error(f"has a string that is never closed: {text}")
    _check_brackets(place, text, code)
    if not _MACRO.search(code):
        _check_names(place, text, code, variables)


def _check_brackets(place: Place, text: str, code: str) -> None:
    opened: list[str] = []
    for character in code:
        if character in _CLOSING.values():
            opened.append(character)
        elif character in _CLOSING and (not opened or opened.pop() != _CLOSING[character]):
            raise place.error(f'has a "{character}" that closes nothing: {text}')
    if opened:
        raise place.error(f'has a "{opened[-1]}" that is never closed: {text}')


def _check_names(place: Place, text: str, code: str, variables: Collection[str]) -> None:
    """A macro binds names of its own, so this looks only at expressions without one."""
    known = " and ".join(variables)
    for name in _FREE_NAME.findall(code):
        if name not in _CEL_WORDS and name not in variables:
            raise place.error(f'uses "{name}", but only {known} can be used here, e.g. "event.data.{name}": {text}')
