"""How a member of a registered function is checked: the kinds of value there are, and the words when it is another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stepwell.errors import DefinitionError, WireError
from stepwell.wire.registration import NAME_MAX_CHARS
from stepwell.wire.times import DAY_MS, SECOND_MS, parse_duration_ms, parse_instant_ms
from stepwell_orchestrator.expr.compile import compile_expression

_FOREVER_MS: Final = 366 * DAY_MS


@dataclass(frozen=True, slots=True)
class Check:
    """Where in a function a rule is looked at, and the problems found so far, which all places share."""

    where: str
    problems: list[str] = field(default_factory=list)

    def at(self, member: str) -> Check:
        """The check of a member."""
        return Check(f"{self.where}: {member}", self.problems)

    def refuse(self, why: str) -> None:
        """Note a broken rule."""
        self.problems.append(f"{self.where} {why}")

    def members(self, value: Any) -> Mapping[str, Any]:
        """The members of an object, nulls removed; of anything else none, and it is refused."""
        if not isinstance(value, Mapping):
            self.refuse("must be an object")
            return {}
        return {key: inner for key, inner in value.items() if inner is not None}

    def whole(self, value: Any, low: int, high: int | None = None) -> None:
        """A whole number from ``low`` to ``high``."""
        fits = (
            isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high)
        )
        if not fits:
            bounds = f"{low} or more" if high is None else f"from {low} to {high}"
            self.refuse(f"must be a whole number {bounds}, got {value!r}")

    def duration(self, value: Any, low_ms: int, high_ms: int = _FOREVER_MS) -> None:
        """A duration's text, from ``low_ms`` to ``high_ms`` long."""
        try:
            duration_ms = parse_duration_ms(value) if isinstance(value, str) else None
        except WireError:
            duration_ms = None
        if duration_ms is None:
            self.refuse(f'must be a duration such as "30s" or "1h30m", got {value!r}')
        elif not low_ms <= duration_ms <= high_ms:
            self.refuse(f"is {value}; it must be from {low_ms // SECOND_MS} s to {high_ms // SECOND_MS} s")

    def timeout(self, value: Any) -> None:
        """A duration, or the instant at which it is up (protocol 8.5)."""
        try:
            parse_instant_ms(value if isinstance(value, str) else "")
        except WireError:
            self.duration(value, 0)

    def expression(self, text: Any, variables: frozenset[str], *, restricted: bool = False) -> None:
        """An expression that uses no other ``variables``."""
        if not isinstance(text, str):
            self.refuse(f"must be an expression, got {text!r}")
            return
        try:
            compile_expression(text, variables=variables, restricted=restricted)
        except DefinitionError as error:
            self.refuse(f"is no valid expression: {error}")

    def event_name(self, name: Any, *, wildcards: bool = True) -> None:
        """The name of an event, or of a trigger, which may end in a wildcard."""
        if not isinstance(name, str) or not name.strip():
            self.refuse("must be an event name")
        elif len(name) > NAME_MAX_CHARS:
            self.refuse(f"has {len(name)} characters; the limit is {NAME_MAX_CHARS}")
        elif "*" in name and not wildcards:
            self.refuse(f'"{name}" has a wildcard, which only triggers may have; name the event in full')
        elif "*" in name[:-1] or (name.endswith("*") and not name.endswith(("/*", ".*"))):
            self.refuse(f'"{name}" has a misplaced wildcard; it may only end in "/*" or ".*"')
