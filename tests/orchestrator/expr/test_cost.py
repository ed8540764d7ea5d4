"""An evaluation ends by its budget, however hostile the data."""

import pytest

from stepwell_orchestrator.expr.compile import compile_expression
from stepwell_orchestrator.expr.errors import EvaluationError
from stepwell_orchestrator.expr.regex import PATTERN_CHARS_MAX
from stepwell_orchestrator.expr.values import COST_MAX, DATA_DEPTH_MAX

MEGABYTE = "a" * 1_000_000


def evaluate(text, data):
    return compile_expression(text, variables=frozenset({"event"})).evaluate({"event": data}, 0)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("event.l.exists(x, x + 1 == 0)", {"l": list(range(100_000))}),
        ("event.m.exists(k, k == '')", {"m": {str(number): number for number in range(100_000)}}),
        ("event.m == event.n", {"m": dict.fromkeys(map(str, range(300_000)), 1), "n": {"a": 1}}),
        ("event.l.all(x, event.l.all(y, event.l.all(z, true)))", {"l": list(range(1_000))}),
        ("event.l.all(x, 0 in event.l || true)", {"l": list(range(1, 10_000))}),
        ("event.l.map(x, x + event.l)", {"l": [[1]] * 1_000}),
        ("event.l.map(x, event.s == event.t)", {"l": [1] * 1_000, "s": MEGABYTE, "t": MEGABYTE + "b"}),
        ("event.l.map(x, event.s < event.t)", {"l": [1] * 1_000, "s": MEGABYTE, "t": MEGABYTE + "b"}),
        ("event.l.map(x, uppercase(event.s))", {"l": [1] * 1_000, "s": MEGABYTE}),
        ("event.l.map(x, json_parse(event.s))", {"l": [1] * 1_000, "s": MEGABYTE}),
        ("event.l.map(x, x.matches(x))", {"l": [f"a{number}" for number in range(1_000)]}),
        ("event.l.map(x, string(x))", {"l": [10**4000] * 10_000}),
        ("event.l.map(x, date(x))", {"l": ["no date"] * 10_000}),
        ("event.l.map(x, duration(x))", {"l": ["no span"] * 10_000}),
        ("'' + event.l", {"l": [0] * 300_000}),
        ("event.s" + ".map(x, x + x)" * 40, {"s": ["aaaa"] * 10}),
        ("event.s.matches('([ab]*a[ab]{200}c)+$')", {"s": "ab" * 500_000}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_budget(text, data):
    """Work that grows with the data ends in an evaluation error about its cost."""
    with pytest.raises(EvaluationError, match="costs more than"):
        evaluate(text, data)


def test_budget_is_no_operand():
    """A used-up budget is not an unknown that || could turn into a match."""
    expression = compile_expression("event.l.all(x, x + 0 == x) || true", variables=frozenset({"event"}))
    bindings = {"event": {"l": list(range(100_000))}}
    with pytest.raises(EvaluationError, match="costs more than"):
        expression.evaluate(bindings, 0)
    assert expression.matches(bindings, 0) is False


@pytest.mark.parametrize(("body", "nodes"), [("true", 1), ("x == 1", 3), ("!(x.a == 1 && true)", 7)])
def test_cost_of_a_round(body, nodes):
    """A macro's round costs as many as its body has nodes, and the budget can be spent to its last unit."""
    text = f"event.l.map(x, {body}).size()"
    rounds = COST_MAX // nodes
    assert evaluate(text, {"l": [1] * rounds}) == rounds
    with pytest.raises(EvaluationError, match="costs more than"):
        evaluate(text, {"l": [1] * (rounds + 1)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.s.matches('^(a+)+$')", True),
        ("event.s.matches('(a|aa)+b')", False),
        ("event.s.contains('b')", False),
        ("event.s.startsWith('aaa')", True),
        ("size(event.s) > 5", True),
    ],
)
def test_megabyte_text(text, expected):
    """A megabyte of text is searched in linear time, by patterns that backtrack elsewhere too."""
    assert evaluate(text, {"s": MEGABYTE}) is expected


@pytest.mark.parametrize("text", ["event.a == event.b", "'' + event.a", "[event.a]"])
def test_deep_data(text):
    """Data nested beyond the bound is an evaluation error instead of an exhausted stack."""
    with pytest.raises(EvaluationError, match=f"nested more than {DATA_DEPTH_MAX} deep"):
        evaluate(text, {"a": nested(10_000), "b": nested(10_000)})


def test_deep_data_not_compared():
    """Deep data that an expression does not look into does no harm."""
    assert evaluate("event.b == 1", {"a": nested(10_000), "b": 1}) is True


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("a" * (PATTERN_CHARS_MAX + 1), "over the limit"),
        ("(((a{100}){100}){100})", "not a regular expression"),
        (r"\pL{1000}", "not a regular expression"),
        ("a\ud800", "not a regular expression"),
    ],
    ids=["long", "repeated", "large", "surrogate"],
)
def test_pattern_bounds(pattern, said):
    """A pattern from the data that is too long or too large is a CEL error."""
    with pytest.raises(EvaluationError, match=said):
        evaluate("'a'.matches(event.p)", {"p": pattern})


def test_surrogate_text():
    """A text with a lone surrogate cannot be searched and is a CEL error."""
    with pytest.raises(EvaluationError, match="lone surrogate"):
        evaluate("event.s.matches('a')", {"s": "\ud800"})


@pytest.mark.parametrize("text", ["double(event.n)", "event.n + 1.5", "event.n + 1", "-event.n", "int(event.n)"])
def test_huge_integers(text):
    """An integer beyond what CEL counts is a CEL error in arithmetic."""
    with pytest.raises(EvaluationError):
        evaluate(text, {"n": 10**400})


def test_huge_integers_compare():
    """An integer of any size compares exactly."""
    assert evaluate("event.n > 1e308 && event.n == event.n", {"n": 10**400}) is True
