"""No text and no data make an expression fail in an undocumented way."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.wire.encoding import encode
from stepwell_orchestrator.expr.compile import compile_expression
from stepwell_orchestrator.expr.errors import EvaluationError, ExpressionError
from stepwell_orchestrator.expr.functions import FUNCTIONS, METHODS
from stepwell_orchestrator.expr.index import index_equalities
from stepwell_orchestrator.expr.macros import MACROS
from stepwell_orchestrator.expr.operators import BINARY

VARIABLES = frozenset({"event", "async"})
SYMBOLS = ("&&", "||", "?", ":", ".", ",", "!", "(", ")", "[", "]", "{", "}", "//", "-", "\n", "\x00", "é", "\\n")
NAMES = ("has", "event", "async", "x", "data", "a")
CONSTANTS = ("null", "true", "1", "2u", "1.5", "0x1F", "'s'", '"', "'''", "r'\\'", "9223372036854775807")
tokens = st.sampled_from([*FUNCTIONS, *METHODS, *MACROS, *BINARY, *SYMBOLS, *NAMES, *CONSTANTS])
texts = st.one_of(st.text(max_size=40), st.lists(tokens, max_size=14).map(" ".join), st.lists(tokens).map("".join))

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=6,
)
operands = st.sampled_from(["event.a", "event.b", "async.a", "async.missing", "null", "1", "2.5", "3u", "'s'", "now()"])
calls = st.sampled_from(
    [f"{name}({', '.join(['{}'] * function.arguments)})" for name, function in FUNCTIONS.items()]
    + [f"({{}}).{name}({', '.join(['{}'] * (function.arguments - 1))})" for name, function in METHODS.items()]
    + [f"({{}}).{name}(x, {{}} == x)" for name in MACROS]
    + [f"(({{}}) {operator} ({{}}))" for operator in (*BINARY, "&&", "||")]
    + ["!({})", "-({})", "({} ? {} : {})", "[{}, {}]", "{{'k': {}}}", "({})[{}]", "({}).field"]
)
expressions = st.recursive(
    operands, lambda inner: st.tuples(calls, inner, inner, inner).map(lambda part: part[0].format(*part[1:]))
)


@settings(max_examples=500, deadline=None)
@given(texts)
def test_compile_any_text(text):
    """Any text either compiles or is refused with an ExpressionError that points into it."""
    refusal = None
    try:
        compile_expression(text, variables=VARIABLES)
    except ExpressionError as error:
        refusal = error
    if refusal is not None:
        lines = text.split("\n")
        assert 1 <= refusal.line <= len(lines)
        assert 1 <= refusal.column <= len(lines[refusal.line - 1]) + 1


@settings(max_examples=500, deadline=None)
@given(expressions, values, values, st.integers(0, 4_102_444_800_000))
def test_evaluate_any_data(text, one, other, now_ms):
    """Any expression on any data gives plain JSON, the same each time, or an EvaluationError."""
    bindings = {"event": {"a": one, "b": other}, "async": {"a": other}}
    expression = compile_expression(text, variables=VARIABLES)
    with contextlib.suppress(EvaluationError):
        value = expression.evaluate(bindings, now_ms)
        encoded = repr(value)
        assert repr(expression.evaluate(bindings, now_ms)) == encoded
        if "nan" not in encoded and "inf" not in encoded:
            encode(value)


@settings(max_examples=200, deadline=None)
@given(expressions, values, values)
def test_index_any_data(text, one, other):
    """Equalities of any expression are taken without an error, and none of their values is null."""
    equalities, _ = index_equalities(text, {"a": one, "b": other})
    assert all(type(value) in (bool, int, float, str) for value in equalities.values())
