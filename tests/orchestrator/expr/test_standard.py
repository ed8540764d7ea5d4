"""Standard CEL as expressions may use it."""

import pytest

from stepwell_orchestrator.expr.compile import compile_expression
from stepwell_orchestrator.expr.errors import ExpressionError
from tests.orchestrator.expr.rows import check, evaluate, holds


@holds(
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 - 2 - 1", 4),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("7.0 / 2", 3.5),
        ("1.0 / 0.0 > 1e308", True),
        ("0.0 / 0.0 == 0.0 / 0.0", False),
        ("0x10", 16),
        ("5u * 2u", 10),
        ("- 5", -5),
        ("--5", 5),
        ("-9223372036854775808", -(2**63)),
        ("d.whole-1", 4),
        ("!true", False),
        ("!!d.yes", True),
        ("1 < 2 == true", True),
        ("false ? 1 : true ? 2 : 3", 2),
        ("'a' < 'b'", True),
        ("false < true", True),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("{'a': {'b': [1]}}.a.b[0]", 1),
        ("d.list[1]", 2),
        ("d.list[1.0]", 2),
        ("d.list[1u]", 2),
        ("d.map['b c']", 2),
        ("d.map['a' + '']", 1),
        ("d.people[0].name", "Ada"),
        ("true // a comment (\n && false", False),
    ]
)
def test_operators(text, expected):
    """Operators, their precedence and selection follow CEL."""
    check(text, expected)


@holds(
    [
        (r"'a\nb'", "a\nb"),
        (r'"\"" + "\x41\u00e9\U0001F600\101"', '"Aé😀A'),
        (r"r'a\nb'", r"a\nb"),
        (r"'''it's'''", "it's"),
        ('"""a\n"b"\n"""', 'a\n"b"\n'),
        ("'// no comment'", "// no comment"),
        ("'([{'", "([{"),
        ("''", ""),
        ('"it\'s"', "it's"),
        ("1.5e3", 1500.0),
        (".5", 0.5),
    ]
)
def test_literals(text, expected):
    """Literals in every notation have their CEL value."""
    check(text, expected)


@holds(
    [
        ("size('äb')", 2),
        ("d.text.size()", 3),
        ("size(d.list)", 3),
        ("size(d.map)", 2),
        ("'abc'.startsWith('ab')", True),
        ("'abc'.endsWith('ab')", False),
        ("'abc'.contains('b')", True),
        ("'abc'.matches('^a.c$')", True),
        ("matches('abc', 'd')", False),
        ("'a+c'.matches('a' + '.c')", True),
        ("int('-12')", -12),
        ("int(2.9)", 2),
        ("int(-2.9)", -2),
        ("int(timestamp('1970-01-01T00:01:00Z'))", 60),
        ("uint(7) == 7u", True),
        ("double('1.5')", 1.5),
        ("double(2)", 2.0),
        ("string(1.5)", "1.5"),
        ("string(true)", "true"),
        ("string(duration('1500ms'))", "1.5s"),
        ("bool('true')", True),
        ("bool('0')", False),
        ("type(1) == int", True),
        ("type(1u)", "uint"),
        ("type(1.5)", "double"),
        ("type(null) == null_type", True),
        ("type([]) == list && type({}) == map && type('') == string && type(true) == bool", True),
        ("type(type(1)) == type", True),
        ("type(now())", "google.protobuf.Timestamp"),
        ("duration('1h') == duration('60m')", True),
        ("duration('1h') - duration('90m')", "-1800s"),
        ("timestamp('2024-01-01T00:00:00Z') + duration('36h')", "2024-01-02T12:00:00Z"),
        ("duration('1h') + timestamp(0)", "1970-01-01T01:00:00Z"),
        ("timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z')", "86400s"),
        ("now() - duration('1m') < now()", True),
        ("has(d.text)", True),
        ("has(d.map['b c'])", True),
    ]
)
def test_functions(text, expected):
    """The standard functions and conversions give their CEL value."""
    check(text, expected)


@holds(
    [
        ("d.list.all(x, x > 0)", True),
        ("d.list.all(x, x > 1)", False),
        ("[].all(x, false)", True),
        ("d.list.exists(x, x == 2)", True),
        ("[].exists(x, true)", False),
        ("d.list.exists_one(x, x > 2)", True),
        ("d.list.exists_one(x, x > 1)", False),
        ("d.list.filter(x, x % 2 == 1)", [1, 3]),
        ("d.list.map(x, x * 2)", [2, 4, 6]),
        ("d.list.map(x, x > 1, x * 2)", [4, 6]),
        ("d.map.exists(key, key == 'b c')", True),
        ("d.people.exists(p, p.age > 30)", True),
        ("d.people.exists(p, p.age == null && p.name == 'Bob')", True),
        ("d.people.map(p, p.age)", [36, None]),
        ("d.list.map(x, d.list.filter(y, y < x))", [[], [1], [1, 2]]),
        ("d.list.map(x, [10].map(x, x + 1)[0] + x)", [12, 13, 14]),
        ("d.list.filter(event, event > 2)", [3]),
        ("d.list.all(x, x == 1 || [x].exists(y, y > 1))", True),
    ]
)
def test_macros(text, expected):
    """The macros fold lists and map keys, nest, and may shadow names."""
    check(text, expected)


def test_missing_variable():
    """A variable that is allowed but not bound is unknown."""
    expression = compile_expression("async.data.x == null", variables=frozenset({"async"}))
    assert expression.evaluate({}, 0) is True


def test_time_is_given():
    """now() is the time passed to the evaluation, each time anew."""
    expression = compile_expression("now()", variables=frozenset())
    assert [expression.evaluate({}, ms) for ms in (0, 1)] == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.001Z"]


def test_bindings_untouched():
    """An evaluation leaves the bindings as they were."""
    bindings = {"event": {"data": {"list": [1, 2]}}}
    expression = compile_expression("event.data.list.map(x, x + 1)", variables=frozenset({"event"}))
    assert expression.evaluate(bindings, 0) == [2, 3]
    assert bindings == {"event": {"data": {"list": [1, 2]}}}


def test_result_is_plain_json():
    """Times, types and unsigned integers come out of a list as plain JSON."""
    assert evaluate("[now(), duration('1s'), type(1), 1u]") == ["2023-11-14T22:13:20Z", "1s", "int", 1]
    assert [type(item) for item in evaluate("[type(1), 1u]")] == [str, int]


@pytest.mark.parametrize(
    "text", ["event.data.a == 1 && async.data.b >= uint('1') || !(event.x != 2.0)", "event.a ? event['b'] : event.l[0]"]
)
def test_restricted_allows(text):
    """The restricted policy allows logic, comparison, indexing and the number casts."""
    compile_expression(text, variables=frozenset({"event", "async"}), restricted=True)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("has(event.a)", '"has"'),
        ("event.l.exists(x, x == 1)", '"exists"'),
        ("event.a.startsWith('x')", '"startsWith"'),
        ("string(event.a) == 'x'", '"string"'),
        ("event.a + 1 == 2", '"+"'),
        ("event.a in [1]", '"in"'),
        ("- event.a == 1", '"-"'),
    ],
)
def test_restricted_refuses(text, refused):
    """The restricted policy refuses macros, other functions and other operators, by name."""
    with pytest.raises(ExpressionError, match="is not allowed here") as caught:
        compile_expression(text, variables=frozenset({"event"}), restricted=True)
    assert refused in caught.value.problem
