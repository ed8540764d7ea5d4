"""The protocol's deviations from standard CEL, a row per rule (protocol 8.2)."""

import pytest

from stepwell_orchestrator.expr.compile import compile_expression
from tests.orchestrator.expr.rows import BINDINGS, NOW_MS, check, error_of, holds


@holds(
    [
        ("d.u == null", True),
        ("null == d.u", True),
        ("d.u != null", False),
        ("null != d.u", False),
        ("d.u == 'x'", False),
        ("'x' == d.u", False),
        ("d.u != 'x'", True),
        ("d.u == false", False),
        ("d.u == 0", False),
        ("d.u == d.v", False),
        ("d.u != d.v", True),
        ("d.u == d.null", True),
        ("d.u < 1", True),
        ("d.u <= 1", True),
        ("d.u > 1", False),
        ("d.u >= 1", False),
        ("1 < d.u", False),
        ("1 <= d.u", False),
        ("1 > d.u", True),
        ("1 >= d.u", True),
        ("d.u < d.v", True),
        ("d.u >= d.v", False),
        ("d.u + 'x'", "x"),
        ("'x' + d.u", "x"),
        ("d.u + 5", 5),
        ("d.u + d.v", False),
        ("size(d.u)", 0),
        ("d.u.size()", 0),
        ("d.u - 1", False),
        ("2 * d.u", False),
        ("d.u / 2", False),
        ("d.u % 2", False),
        ("-d.u", False),
        ("!d.u", False),
        ("d.u in [1]", False),
        ("1 in d.u", False),
        ("d.u.startsWith('x')", False),
        ("'x'.contains(d.u)", False),
        ("lowercase(d.u)", False),
        ("string(d.u)", False),
        ("type(d.u)", False),
        ("json_parse(d.u)", False),
        ("d.u.exists(x, true)", False),
        ("d.u.all(x, true)", False),
        ("d.u.map(x, x)", False),
        ("has(d.u)", False),
        ("has(d.u.v.w)", False),
        ("has(d.null)", True),
    ]
)
def test_unknown_operand(text, expected):
    """An operation with an unknown operand has the value of its row in the protocol's table."""
    check(text, expected)


@holds(
    [
        ("d.u", False),
        ("d.u.v.w", False),
        ("d.text.length", False),
        ("d.null.x", False),
        ("d.list[7]", False),
        ("d.list[-1]", False),
        ("d.map[d.text]", False),
        ("d.u[0]", False),
        ("d.map[d.u]", False),
        ("true ? d.u : 1", False),
    ]
)
def test_whole_expression_unknown(text, expected):
    """An expression that is unknown as a whole is false."""
    check(text, expected)


@holds(
    [
        ("1 / 0 == null", True),
        ("1 / 0 == 1", False),
        ("lowercase(1) == '1'", False),
        ("lowercase(1) + 'x'", "x"),
        ("1 / 0 < 1", True),
        ("true || 1 / 0 > 0", True),
        ("1 / 0 > 0 || true", True),
        ("1 / 0 || 'x'", "x"),
        ("false && 1 / 0 > 0", False),
        ("1 / 0 ? 'then' : 'else'", "else"),
        ("size(1 / 0)", 0),
        ("[1 / 0, 1]", [None, 1]),
        ("{'a': d.u}", {"a": None}),
        ("[1, 0].map(x, 1 / x)", [1, None]),
    ]
)
def test_error_in_operand(text, expected):
    """An error inside an operand counts as unknown."""
    check(text, expected)


@holds(
    [
        ("d.text || 'x'", "Ada"),
        ("d.empty || 'x'", "x"),
        ("d.u || d.empty || d.whole", 5),
        ("d.u || d.empty", ""),
        ("d.zero || d.null", None),
        ("d.nothing || d.none || 'x'", "x"),
        ("d.list || 'x'", [1, 2, 3]),
        ("d.no || d.yes", True),
        ("false || d.u", False),
        ("d.text && d.whole", 5),
        ("d.text && d.empty && d.whole", ""),
        ("d.yes && d.zero", 0),
        ("d.yes && d.null", None),
        ("d.u && d.text", False),
        ("d.text ? 1 : 2", 1),
        ("d.empty ? 1 : 2", 2),
        ("d.zero ? 1 : 2", 2),
        ("0.0 ? 1 : 2", 2),
        ("d.nothing ? 1 : 2", 2),
        ("d.none ? 1 : 2", 2),
        ("d.map ? 1 : 2", 1),
        ("d.null ? 1 : 2", 2),
        ("d.u ? 1 : 2", 2),
        ("duration('0s') ? 1 : 2", 1),
        ("true && false || true && true", True),
    ]
)
def test_truthiness(text, expected):
    """Logic takes any value: || yields the first truthy value, && the first falsy one, else the last."""
    check(text, expected)


@holds(
    [
        ("null == null", True),
        ("null != null", False),
        ("d.null == 0", False),
        ("d.null == ''", False),
        ("d.null == false", False),
        ("d.null != 0", True),
        ("d.null < 1", True),
        ("d.null < 0", False),
        ("d.null >= 0", True),
        ("1.5 > d.null", True),
        ("d.null < 'a'", True),
        ("d.null < true", True),
        ("d.null < now()", True),
        ("d.null < duration('1s')", True),
        ("d.null + 5", 5),
        ("5 - d.null", 5),
        ("d.null - 5", -5),
        ("d.null * 5", 0),
        ("d.null + 1.5", 1.5),
        ("d.null + 'a'", "a"),
        ("'a' + d.null", "a"),
        ("[1] + d.null", [1]),
    ]
)
def test_explicit_null(text, expected):
    """An explicit null equals null alone, and is the other operand's zero value in order and arithmetic."""
    check(text, expected)


@holds(
    [
        ("d.whole == d.double", True),
        ("5 == 5.0", True),
        ("5u == 5", True),
        ("5u == 5.0", True),
        ("9007199254740993 == 9007199254740992.0", False),
        ("5 < 5.5", True),
        ("5.5 > 5u", True),
        ("5 != 5.0", False),
        ("'5' == 5", False),
        ("'5' != 5", True),
        ("true == 1", False),
        ("1 == true", False),
        ("[] == {}", False),
        ("[1, 2.0] == [1.0, 2]", True),
        ("[true] == [1]", False),
        ("[1] == [1, 1]", False),
        ("{'a': 1} == {'a': 1.0}", True),
        ("{'a': 1} == {'b': 1}", False),
        ("{'a': null} == {}", False),
        ("5.0 in d.list", False),
        ("2.0 in d.list", True),
        ("true in d.list", False),
        ("'a' in d.map", True),
        ("1 in d.map", False),
        ("type('x') == 'string'", False),
    ]
)
def test_equality_across_types(text, expected):
    """Numbers compare by value, everything else of mixed types is unequal, at any depth."""
    check(text, expected)


@holds(
    [
        ("'a' + 1", "a1"),
        ("1 + 'a'", "1a"),
        ("'a' + 1.5", "a1.5"),
        ("'a' + d.double", "a5"),
        ("'a' + 1e300", "a1e+300"),
        ("'a' + 7u", "a7"),
        ("'a' + true", "atrue"),
        ("true + 1", "true1"),
        ("'a' + [1, 'b', null]", 'a[1,"b",null]'),
        ("'a' + {'k': 1}", 'a{"k":1}'),
        ("'a' + duration('90s')", "a90s"),
        ("'a' + timestamp('2024-01-02T03:04:05Z')", "a2024-01-02T03:04:05Z"),
        ("'a' + type(1)", "aint"),
        ("1 + 1.5", 2.5),
        ("1u + 1", 2),
    ]
)
def test_addition_across_types(text, expected):
    """Adding two different types joins their text; the number types add as numbers."""
    check(text, expected)


@holds(
    [
        ("lowercase(d.text)", "ada"),
        ("uppercase(d.text)", "ADA"),
        ("b64decode('aGVsbG8=')", "hello"),
        ("b64decode('not base64') == null", True),
        ("json_parse('{\"a\": [1]}')", {"a": [1]}),
        ("json_parse('{\"a\": 1}').a == 1", True),
        ("json_parse('[1]')", {}),
        ("json_parse('nope')", {}),
        ("json_parse(5)", {}),
        ("now()", "2023-11-14T22:13:20Z"),
        ("now_plus('1h')", "2023-11-14T23:13:20Z"),
        ("now_minus('1d')", "2023-11-13T22:13:20Z"),
        ("now_plus('soon') == null", True),
        ("date('2024-02-03')", "2024-02-03T00:00:00Z"),
        ("date('2024-02-03T04:05:06.789+02:00')", "2024-02-03T02:05:06.789Z"),
        ("date('Sat, 03 Feb 2024 04:05:06 GMT')", "2024-02-03T04:05:06Z"),
        ("date(946684799) == null", True),
        ("date(946684800)", "2000-01-01T00:00:00Z"),
        ("date(9999999999)", "2286-11-20T17:46:39Z"),
        ("date(10000000000)", "1970-04-26T17:46:40Z"),
        ("date(1700000000123)", "2023-11-14T22:13:20.123Z"),
        ("date(1700000000123000000)", "2023-11-14T22:13:20.123Z"),
        ("date(event.ts) > now()", True),
        ("date('nonsense') == null", True),
    ]
)
def test_added_functions(text, expected):
    """The functions the protocol adds to CEL give the value of their row."""
    check(text, expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "division by zero"),
        ("false || 1 % 0", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("-(-9223372036854775807 - 1)", "integer overflow"),
        ("1u - 2u", "integer overflow"),
        ("!'a'", "! is not defined for string"),
        ("'a' < 1", "ordering is not defined for string and int"),
        ("[1] < [2]", "ordering is not defined for list and list"),
        ("null < null", "ordering is not defined for null_type and null_type"),
        ("true + false", "+ is not defined for bool and bool"),
        ("'a' - 'b'", "- is not defined for string and string"),
        ("'a' in 'abc'", "in is not defined for string and string"),
        ("size(5)", "size is not defined for int"),
        ("'a'.startsWith(1)", "startsWith is not defined for string and int"),
        ("'abc'.matches(5 > 4 ? '(' : ')')", "not a regular expression"),
        ("(5).exists(x, true)", "exists is not defined for int"),
        ("{1: 2}", "a map key must be a string"),
        ("int('x')", "int: the value is not a whole number"),
        ("int(true)", "int is not defined for bool"),
        ("int(1e30)", "out of range"),
        ("uint(-1)", "out of range"),
        ("double('1_0')", "double: the text is not a number"),
        ("bool('yes')", "bool: the text is neither true nor false"),
        ("string(null)", "string is not defined for null_type"),
        ("duration('soon')", "is not a duration"),
        ("timestamp(253402300800)", "a time is out of range"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1h')", "a time is out of range"),
        ("[1]['a' + 'b']", "[] is not defined for list and string"),
    ],
)
def test_error_as_result(text, said):
    """A result that is a CEL error is an evaluation error that says what went wrong."""
    assert said in error_of(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("event.data.whole == async.data.whole", True),
        ("event.data.whole != async.data.whole", False),
        ("1 / 0 == 1 || 1 / 0", False),
        ("1 / 0", False),
        ("'yes'", False),
        ("1", False),
        ("event.data.missing", False),
    ],
)
def test_matches(text, expected):
    """Only the value true is a match; an error or another value is none."""
    expression = compile_expression(text, variables=frozenset({"event", "async"}))
    assert expression.matches(BINDINGS, NOW_MS) is expected
