"""Expressions evaluated against one set of bindings, and the shape of a table row."""

import pytest

from stepwell_orchestrator.expr.compile import compile_expression
from stepwell_orchestrator.expr.errors import EvaluationError

NOW_MS = 1_700_000_000_000
BINDINGS = {
    "event": {
        "name": "order/created",
        "ts": 1_700_000_000_123,
        "data": {
            "text": "Ada",
            "empty": "",
            "whole": 5,
            "double": 5.0,
            "half": 2.5,
            "zero": 0,
            "yes": True,
            "no": False,
            "null": None,
            "list": [1, 2, 3],
            "nothing": [],
            "map": {"a": 1, "b c": 2},
            "none": {},
            "people": [{"name": "Ada", "age": 36}, {"name": "Bob"}],
        },
    },
    "async": {"data": {"whole": 5}},
}


def evaluate(text):
    """The value of an expression under BINDINGS."""
    return compile_expression(text, variables=frozenset({"event", "async"})).evaluate(BINDINGS, NOW_MS)


def error_of(text):
    """What the evaluation error of an expression says."""
    with pytest.raises(EvaluationError) as caught:
        evaluate(text)
    return str(caught.value)


def holds(rows):
    """A row is an expression over ``event.data`` (spelled ``d``, its missing field ``d.u``) and its exact value."""
    return pytest.mark.parametrize(("text", "expected"), rows, ids=[text for text, _ in rows])


def check(text, expected):
    """Assert the value of a row's expression, and its type."""
    value = evaluate(text.replace("d.", "event.data."))
    assert value == expected
    assert type(value) is type(expected)
