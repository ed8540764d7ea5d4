"""The keys of limits, evaluated once, against the event that starts a run (protocol 6.10)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from stepwell.wire.encoding import canonical, encode
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.engine.runs.route import TRIGGER_VARIABLES
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import FlowOptions, RunFlow

PRIORITY_MAX_S: Final = 600
FAILED_KEY: Final = "(error)"
"""The one key of all events for which an expression cannot be evaluated."""
_KEY_CHARS_MAX: Final = 200
_KEPT_CHARS: Final = 120


@dataclass(frozen=True, slots=True)
class Key:
    """A key's value as text. ``unusual`` says in words what else than a plain value it was; people are told."""

    text: str
    value: Any = None
    unusual: str | None = None


_WITHOUT: Final = Key("")


def evaluate_key(expression: str | None, event: Event, now_ms: int) -> Key:
    """Evaluate a key for an event. Every event has one.

    | the expression yields           | the key                                             |
    | ------------------------------- | --------------------------------------------------- |
    | text                            | that text                                           |
    | a number, true, false           | its JSON, so that 1 and "1" are one key             |
    | nothing: a member that is not   | ``false``: all events that lack it share one key    |
    | there                           |                                                     |
    | null, an object or a list       | its JSON, with sorted members; people are told      |
    | an error                        | ``(error)``: all such events share one key          |
    | (no expression)                 | "": all events share it                             |

    A long text is its beginning and its hash.
    """
    if expression is None:
        return _WITHOUT
    from stepwell_orchestrator.expr.compile import compile_expression  # only expressions pay for the parser's import
    from stepwell_orchestrator.expr.errors import EvaluationError

    try:
        value = compile_expression(expression, variables=TRIGGER_VARIABLES).evaluate({"event": event.wire()}, now_ms)
    except EvaluationError as error:
        return Key(FAILED_KEY, unusual=f"key {expression} cannot be evaluated: {error}")
    if value is None or isinstance(value, dict | list):
        kind = "null" if value is None else "an object" if isinstance(value, dict) else "a list"
        return Key(_bounded(canonical(value).decode()), value, f"key {expression} is {kind}, not a plain value")
    return Key(_bounded(value if isinstance(value, str) else encode(value).decode()), value)


def priority_ms(expression: str | None, event: Event, now_ms: int) -> int:
    """How far a run moves ahead: whole seconds, 600 at most either way; 0 for an error and what is no whole number."""
    if expression is None:
        return 0
    value = evaluate_key(expression, event, now_ms).value
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        return 0
    return max(-PRIORITY_MAX_S, min(PRIORITY_MAX_S, int(value))) * SECOND_MS


def run_flow(options: FlowOptions, event: Event, start_ms: int, now_ms: int) -> RunFlow:
    """What a run keeps for its limits. Of a function without any: nothing."""
    if not options.limits:
        return RunFlow()
    keys = {limit.id: evaluate_key(limit.key, event, now_ms).text for limit in options.limits}
    return RunFlow(keys, start_ms - priority_ms(options.priority, event, now_ms))


def unusual_keys(options: FlowOptions, event: Event, now_ms: int) -> list[str]:
    """What to tell people of the keys of an event: a line each, mostly none."""
    found = (evaluate_key(limit.key, event, now_ms).unusual for limit in options.limits)
    return [unusual for unusual in found if unusual is not None]


def _bounded(text: str) -> str:
    if len(text) <= _KEY_CHARS_MAX:
        return text
    return f"{text[:_KEPT_CHARS]}#{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
