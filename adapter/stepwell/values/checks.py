"""Checks on what a function author writes; each refusal names function and field, says why, and how to fix it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from stepwell.errors import DefinitionError, WireError
from stepwell.values.expressions import check_expression, depends_on
from stepwell.values.match_paths import same_in_both
from stepwell.values.source_lines import tell_author
from stepwell.wire.times import format_duration, parse_duration_ms

Duration = str | dt.timedelta

ID_MAX_CHARS: Final = 100

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of what an author writes, with the checks on its value. All of them raise DefinitionError.

    It is an option of the app or function with the id ``owner``, or an argument of the step with that id; ``path``
    names it, and after a dot its member.
    """

    owner: str
    path: str
    kind: Literal["app", "function", "step"] = "function"

    def member(self, name: str) -> Field:
        """A member of this field."""
        return replace(self, path=f"{self.path}.{name}")

    def error(self, problem: str) -> DefinitionError:
        """The error that refuses its value."""
        return DefinitionError(f'{self.kind} "{self.owner}", {self.path}: {problem}')

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
        try:
            return check_expression(value, variables)
        except ValueError as problem:
            raise self.error(str(problem)) from None

    def condition(self, match: Any, if_: Any) -> str | None:
        """The expression over ``event``, which started the run, and ``async``, which arrives, that two arguments mean.

        ``match`` is a path that must hold the same in both; ``if_`` is the whole expression. One that the arriving
        event cannot change is warned of.
        """
        if match is not None and if_ is not None:
            raise self.error("has both match and if_; write the whole condition as if_")
        if match is not None:
            return self.member("match")._same_in_both(match)
        return None if if_ is None else self.member("if_")._over_both(if_)

    def tell(self, problem: str) -> None:
        """Warn of its value at the author's line: it is taken, and probably not meant."""
        tell_author(self.path, str(self.error(problem)))

    def _same_in_both(self, path: Any) -> str:
        try:
            return same_in_both(path)
        except ValueError as problem:
            raise self.error(str(problem)) from None

    def _over_both(self, value: Any) -> str:
        expression = self.expression(value, "event", "async")
        if not depends_on(expression, "async"):
            self.tell(
                "never mentions async, the event that arrives, so that all of them or none will do; compare with it, "
                'e.g. "event.data.order_id == async.data.order_id"'
            )
        return expression

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
