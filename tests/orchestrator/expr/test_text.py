"""What is refused when an expression is compiled, and where the error points."""

import pytest

from stepwell.errors import DefinitionError
from stepwell_orchestrator.expr.compile import compile_expression
from stepwell_orchestrator.expr.errors import ExpressionError
from stepwell_orchestrator.expr.parse import CALLS_MAX, ITEMS_MAX, parse
from stepwell_orchestrator.expr.scan import NESTING_MAX, TEXT_CHARS_MAX


def refused(text):
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, variables=frozenset({"event", "async"}))
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("", 1, 1, "it is empty; leave it out instead"),
        (" \n", 1, 1, "it is empty; leave it out instead"),
        ("event.a ==", 1, 11, "expected a value, found the end"),
        ("event.a ==\n\n  == 1", 3, 3, 'expected a value, found "=="'),
        ("event.a = 1", 1, 9, 'expected an operator, found "="'),
        ("event.a event.b", 1, 9, 'expected an operator, found "event"'),
        ("event.", 1, 7, "expected a name, found the end"),
        ("event.true", 1, 7, 'expected a name, found "true"'),
        ("event ? 1", 1, 10, 'expected an operator or ":", found the end'),
        ("[1 2]", 1, 4, 'expected an operator, found "2"'),
        ("#", 1, 1, 'expected a value, found "#"'),
        ("(1", 1, 1, 'this "(" is never closed; add ")"'),
        ("1)", 1, 2, 'this ")" closes nothing; remove it'),
        ("(1]", 1, 3, 'expected ")", found "]"'),
        ("event.a == 'x", 1, 12, "this string is never closed; add '"),
        ("'a\nb'", 1, 1, "this string is never closed; add '"),
        ("'a\\\n'", 1, 1, "this string is never closed; add '"),
        ('"""a""', 1, 1, 'this string is never closed; add """'),
        (r"'\q'", 1, 1, r"this string has an escape that CEL does not know; write a backslash as \\"),
        (r"'\uD800'", 1, 1, r"this string has an escape that CEL does not know; write a backslash as \\"),
        ("evnt.a == 1", 1, 1, 'there is no variable "evnt" here; use one of: async, event'),
        ("1 ==\n  vars.a", 2, 3, 'there is no variable "vars" here; use one of: async, event'),
        ("event.l.all(x, x == y)", 1, 21, 'there is no variable "y" here; use one of: async, event'),
        ("event.l.all(x, true) && x", 1, 25, 'there is no variable "x" here; use one of: async, event'),
        ("now(1)", 1, 1, "now() takes 0 arguments, not 1"),
        ("size()", 1, 1, "size() takes 1 argument, not 0"),
        ("'a'.startsWith()", 1, 1, "startsWith() takes 1 argument, not 0"),
        ("has(event)", 1, 1, "has() takes one field, like has(event.data.user)"),
        ("has(event.l[0])", 1, 1, "has() takes one field, like has(event.data.user)"),
        (
            "event.l.all(1, true)",
            1,
            1,
            "all() takes a variable and an expression, like items.all(item, item.ok)",
        ),
        ("event.l.all()", 1, 1, "all() takes a variable and an expression, like items.all(item, item.ok)"),
        ("event.l.all(x, 1, 2)", 1, 1, "all() takes a variable and an expression, like items.all(item, item.ok)"),
        ("event.l.map(x)", 1, 1, "map() takes a variable and an expression, like items.map(item, item.ok)"),
        ("b'bytes'", 1, 1, "bytes are not supported; JSON has none: write a string"),
        ("event{a: 1}", 1, 1, "member object is not supported here"),
        (".event", 1, 1, "dot ident is not supported here"),
        (".size(1)", 1, 1, "dot ident arg is not supported here"),
        ("9223372036854775808", 1, 1, "9223372036854775808 does not fit a 64-bit integer"),
        ("18446744073709551616u", 1, 1, "18446744073709551616u does not fit an unsigned 64-bit integer"),
        ("1e400", 1, 1, "1e400 is beyond the largest double"),
        ("'a'.matches('(')", 1, 13, "matches: not a regular expression of RE2: missing ): ("),
    ],
)
def test_refusal(text, line, column, problem):
    """A text that cannot be compiled is refused with its position and the reason in words."""
    error = refused(text)
    assert (error.line, error.column, error.problem) == (line, column, problem)
    assert str(error) == f"expression, line {line}, column {column}: {problem}"
    assert isinstance(error, DefinitionError)


@pytest.mark.parametrize(
    ("text", "offered"),
    [("lower('a')", "lowercase"), ("'a'.lowercase()", "startsWith"), ("event.ts.getFullYear()", "exists_one")],
)
def test_unknown_function(text, offered):
    """A function that does not exist is refused with the ones that do."""
    error = refused(text)
    assert error.problem.startswith("there is no ")
    assert offered in error.problem.partition("use one of: ")[2].split(", ")


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("1" + "+1" * TEXT_CHARS_MAX, f"the limit is {TEXT_CHARS_MAX}"),
        ("(" * 10_000, f"the limit is {TEXT_CHARS_MAX}"),
        ("(" * 2_000 + "1" + ")" * 2_000, f"nested more than {NESTING_MAX} deep"),
        ("[" * 2_000, f"nested more than {NESTING_MAX} deep"),
        ("!" * 4_000 + "true", f"nested more than {NESTING_MAX} deep"),
        ("-" * 4_000 + "1", f"nested more than {NESTING_MAX} deep"),
        ("event" + ".a" * 2_000, f"nested more than {NESTING_MAX} deep"),
        ("1" + "+1" * 2_000, f"nested more than {NESTING_MAX} deep"),
        ("1?(" * 500 + "1" + "):1" * 500, f"nested more than {NESTING_MAX} deep"),
        ("1?1:" * 1_000 + "1", f"nested more than {NESTING_MAX} deep"),
        ("[" + "1," * ITEMS_MAX + "1]", f"the limit is {ITEMS_MAX}"),
        ("[" + "now()," * CALLS_MAX + "now()]", f"more than {CALLS_MAX} calls"),
    ],
    ids=lambda value: value[:8],
)
def test_bounds(text, bound):
    """Length, nesting, list items and calls are bounded, each with its limit in the error."""
    assert bound in refused(text).problem


def test_open_string_does_not_stall():
    """A string left open after two thousand escapes is refused before the parser's patterns could backtrack on it."""
    assert "never closed" in refused('"' + "\\n" * 2_000).problem
    assert "never closed" in refused('"""' + "\\n" * 1_500 + '"').problem


@pytest.mark.parametrize("operator", ["&&", "||"])
def test_long_logic(operator):
    """A chain of hundreds of operands under one operator is as deep as one."""
    text = f" {operator} ".join(["event.a"] * 300)
    expression = compile_expression(text, variables=frozenset({"event"}))
    assert expression.evaluate({"event": {"a": True}}, 0) is True


def test_parse_once():
    """Parsing the same text again yields the same tree."""
    assert parse("event.data.a == 1") is parse("event.data.a == 1")


def test_compile_once():
    """Compiling is cached by text, variables and policy together."""
    text, variables = "event.data.a == 1", frozenset({"event"})
    first = compile_expression(text, variables=variables)
    assert compile_expression(text, variables=variables) is first
    assert compile_expression(text, variables=variables, restricted=True) is not first
    with pytest.raises(ExpressionError):
        compile_expression(text, variables=frozenset({"async"}))
