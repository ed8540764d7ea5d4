"""Which pauses an event can match, found by key instead of by trial (protocol 6.6, 8).

A pause is filed under the values its expression asks for by equality, its trigger event's values put in. An arriving
event is looked up once for each set of paths that pauses of its name use, whatever the number of pauses; the whole
expression is then evaluated for what was found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from stepwell.wire.encoding import canonical, decode, encode
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.pause import Pause, PauseKind

WAIT_VARIABLES: Final = frozenset({"event", "async"})
_EXACT_NUMBER_MAX: Final = 2**53
CATCH_ALL: Final = ""
"""The shape, and the index, of pauses without an equality."""


def file_under(expression: str | None, trigger: Mapping[str, Any]) -> tuple[str, str]:
    """The shape and index of a pause. Raises ExpressionError when the expression is not valid."""
    if expression is None:
        return CATCH_ALL, CATCH_ALL
    from stepwell_orchestrator.expr.compile import compile_expression  # only expressions pay for the parser's import
    from stepwell_orchestrator.expr.index import index_equalities

    compile_expression(expression, variables=WAIT_VARIABLES)
    equalities, _ = index_equalities(expression, trigger)
    if not equalities:
        return CATCH_ALL, CATCH_ALL
    paths = sorted(equalities)
    return encode([list(path) for path in paths]).decode(), _digest([equalities[path] for path in paths])


def index_in(shape: str, event: Mapping[str, Any]) -> str | None:
    """Returns the index an event has in a shape, or None when it lacks a value: no pause of that shape can match."""
    if shape == CATCH_ALL:
        return CATCH_ALL
    values = [_at(event, path) for path in decode(shape)]
    return None if any(value is None for value in values) else _digest(values)


def is_eligible(pause: Pause, event: Event) -> bool:
    """Whether an event counts for a pause, whatever the expression says of it.

    A run is cancelled only by what came after its trigger: of two events received in one millisecond, by the one with
    the later id, so that they cannot cancel each other's runs.
    """
    if not pause.since_ms <= event.received_at_ms < pause.expires_at_ms:
        return False
    if pause.kind is PauseKind.CANCEL and event.received_at_ms == pause.since_ms:
        return event.internal_id > pause.trigger_event_id
    return event.internal_id not in pause.excluded and event.internal_id != pause.trigger_event_id


def accepts(pause: Pause, trigger: Mapping[str, Any], event: Mapping[str, Any], now_ms: int) -> bool:
    """Whether the pause's expression holds for an event; one that cannot be evaluated does not."""
    if pause.expression is None:
        return True
    from stepwell_orchestrator.expr.compile import compile_expression

    expression = compile_expression(pause.expression, variables=WAIT_VARIABLES)
    return expression.matches({"event": trigger, "async": event}, now_ms)


def _at(event: Mapping[str, Any], path: list[str]) -> bool | float | str | None:
    """Returns the scalar at a path, or None: for anything else, and for numbers too large to file a pause under."""
    value: Any = event
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    if isinstance(value, int | float) and abs(value) > _EXACT_NUMBER_MAX:
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _digest(values: list[Any]) -> str:
    """Equal values have equal digests: numbers by value, and true is not 1."""
    plain = [float(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in values]
    return hashlib.blake2b(canonical(plain), digest_size=12).hexdigest()
