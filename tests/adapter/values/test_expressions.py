from __future__ import annotations

from typing import Any

import pytest

from stepwell.errors import DefinitionError
from stepwell.values.checks import Field

FIELD = Field("pay", "throttle.key")


@pytest.mark.parametrize(
    "text",
    [
        "event.data.amount > 100",
        'event.data.name == "it\'s" || event.name == \'say "hi"\'',
        r'event.data.name == "a \" quote ) ]"',
        "event.data.items.exists(item, item.price > 10)",
        "event.data['odd key'] != null && !(event.data.tags[0] in ['a', 'b'])",
        "size(event.data.list) > 2u && type(event.v) == string",
        "event . data\n.total >= 1e3",
        "{'a': event.data.x}.a",
        "true",
        "'all'",
        "event.data.x == 0x1F-1 || event.data.x > 10u-5u || event.data.x < 1e3-1",
        "event.data.items.exists(x, x-1-2 > 0 && event.data.a1-2 == x)",
    ],
)
def test_an_expression_over_known_variables_passes(text: str) -> None:
    """Strings, brackets, macros, calls and type names do not confuse the check."""
    FIELD.expression(text, "event")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "must be an expression"),
        ("", "must be an expression"),
        ("  ", "must be an expression"),
        ("event.data.x == 'a", "string that is never closed"),
        ("event.data.x == (1", '"(" that is never closed'),
        ("event.data.x == 1)", '")" that closes nothing'),
        ("event.data[(1])", '"]" that closes nothing'),
        ("data.x == 1", 'uses "data", but only event can be used here'),
        (
            "event.data.x == async.data.x",
            'uses "async", but only event can be used here, where no second event arrives',
        ),
        ("event.data.id == 3f2c-11", "has 3f2c-11, which is neither a number nor a name; if it is a text, quote it"),
        ("event.data.items.exists(i, i == 7b)", "has 7b, which is neither"),
        ("event.data.id == abc", 'e.g. "event.data.abc"; if it is a text, quote it'),
        ("event.data.x == 'a' || vars.y", 'uses "vars"'),
        ("event.data.x == " + "1" * 4096, "the limit is 4096"),
    ],
)
def test_a_broken_expression_names_function_field_and_problem(text: Any, problem: str) -> None:
    """What cannot compile is refused where it was written, before any server sees it."""
    with pytest.raises(DefinitionError) as refused:
        FIELD.expression(text, "event")
    assert str(refused.value).startswith('function "pay", throttle.key: ')
    assert problem in str(refused.value)


def test_a_cancellation_may_use_both_events() -> None:
    """``async`` is a variable where two events are compared."""
    FIELD.expression("event.data.x == async.data.x", "event", "async")
