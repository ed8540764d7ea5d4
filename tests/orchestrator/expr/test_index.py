"""Equality keys taken from an expression."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell_orchestrator.expr.compile import compile_expression
from stepwell_orchestrator.expr.errors import ExpressionError
from stepwell_orchestrator.expr.index import index_equalities

EVENT = {
    "data": {"id": "u1", "n": 5, "f": 5.0, "yes": True, "null": None, "map": {"a": 1}, "list": [1], "big": 2**53 + 1}
}


@pytest.mark.parametrize(
    ("text", "equalities", "left"),
    [
        ("async.data.id == event.data.id", {("data", "id"): "u1"}, False),
        ("event.data.id == async.data.id", {("data", "id"): "u1"}, False),
        ("async.data.id == 'x'", {("data", "id"): "x"}, False),
        ("'x' == async['data']['user id']", {("data", "user id"): "x"}, False),
        ("async.data.n == event.data.n", {("data", "n"): 5}, False),
        ("async.data.n == event.data.f", {("data", "n"): 5.0}, False),
        ("async.data.yes == event.data.yes", {("data", "yes"): True}, False),
        ("async.name == 'a' && async.data.id == event.data.id", {("name",): "a", ("data", "id"): "u1"}, False),
        ("async.a == 1 && (async.b == 2 && async.c == 3)", {("a",): 1, ("b",): 2, ("c",): 3}, False),
        ("async.a == 1 && async.b > 2", {("a",): 1}, True),
        ("async.a == 1 && (async.b == 2 || async.c == 3)", {("a",): 1}, True),
        ("async.a == 1 && async.a == 2", {("a",): 1}, True),
        ("async.a == 1 && async.l.exists(x, x == 1)", {("a",): 1}, True),
        ("async.a == 1 || async.b == 2", {}, True),
        ("!(async.a == 1)", {}, True),
        ("(async.a == 1) == true", {}, True),
        ("async.a == 1 ? true : false", {}, True),
        ("async.a != 1", {}, True),
        ("async == 1", {}, True),
        ("async.a == async.b", {}, True),
        ("async.l[0] == 1", {}, True),
        ("async.a == null", {}, True),
        ("async.a == event.data.null", {}, True),
        ("async.a == event.data.missing", {}, True),
        ("async.a == event.data.id.deeper", {}, True),
        ("async.a == event.data.map", {}, True),
        ("async.a == event.data.list", {}, True),
        ("async.a == event.data.big", {}, True),
        ("async.a == event", {}, True),
        ("async.a == 9007199254740993", {}, True),
        ("async.a == 9007199254740992", {("a",): 2**53}, False),
        ("async.a == lowercase('A')", {}, True),
        ("event.data.id == 'u1'", {}, True),
        ("true", {}, True),
    ],
)
def test_equalities(text, equalities, left):
    """Exactly the equality conjuncts on the arriving event are taken, and it is told whether anything is left."""
    found, rest = index_equalities(text, EVENT)
    assert (found, rest) == (equalities, left)
    assert [type(value) for value in found.values()] == [type(value) for value in equalities.values()]


def test_not_cel():
    """A text that is not CEL is refused."""
    with pytest.raises(ExpressionError):
        index_equalities("async.a ==", EVENT)


FIELDS = ("a", "b", "c")
scalars = st.sampled_from([None, True, False, 0, 1, 1.0, 2, 0.5, "", "x", "1", 2**53 + 1])
events = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, scalars))
operands = st.sampled_from(
    [f"{root}.{field}" for root in ("async", "event") for field in FIELDS]
    + ["null", "true", "0", "1", "1.0", "2", "'x'", "'1'", "9007199254740993"]
)
comparisons = st.tuples(operands, st.sampled_from(["==", "==", "==", "!=", "<"]), operands).map(" ".join)
expressions = st.recursive(
    st.one_of(comparisons, operands),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "&&", "||", "=="]), inner).map(lambda part: f"({' '.join(part)})"),
        inner.map("!({})".format),
        st.tuples(inner, inner, inner).map(lambda part: f"({part[0]} ? {part[1]} : {part[2]})"),
    ),
    max_leaves=8,
)
EQUAL = compile_expression("event.one == event.other", variables=frozenset({"event"}))


@settings(max_examples=600, deadline=None)
@given(expressions, events, events)
def test_no_match_is_lost(text, event, arriving):
    """Whenever an expression matches, every equality taken from it holds; with nothing left the converse is true."""
    equalities, left = index_equalities(text, event)
    held = all(
        EQUAL.matches({"event": {"one": arriving.get(path[0]), "other": value}}, 0)
        for path, value in equalities.items()
    )
    expression = compile_expression(text, variables=frozenset({"event", "async"}))
    matched = expression.matches({"event": event, "async": arriving}, 0)
    assert held or not matched
    assert left or matched == held
