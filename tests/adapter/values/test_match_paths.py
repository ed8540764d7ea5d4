"""``match=``: the paths that can be right, and what is said of the others."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stepwell.values.match_paths import same_in_both


@pytest.mark.parametrize(
    "path", ["data", "data.x", "data.items[0].id", 'data["odd key"].x', "data['odd key']", "user", "user.id", "v"]
)
def test_a_path_into_an_event_is_compared_in_both(path: str) -> None:
    """What senders put into an event can be the same in two of them."""
    assert same_in_both(path) == f"event.{path} == async.{path}"


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("order_id", 'match="data.order_id"'),
        ("order.id", 'match="data.order.id"'),
        ("data.", 'match="data.order_id"'),
        (".order_id", 'match="data.order_id"'),
        (".data.x", 'match="data.x"'),
        ("event.data.x", 'match="data.x"'),
        ("async.data.x", 'match="data.x"'),
        ("event.data['x y']", """match="data['x y']\""""),
        ("event.order_id", 'match="data.order_id"'),
        ("event", 'match="data.order_id"'),
        ("data.order id", """match='data["order id"]'"""),
        ("data.order-id", """match='data["order-id"]'"""),
        ("order-id", """match='data["order-id"]'"""),
        ("$.data.x", 'match="data.x"'),
        ("name", 'match="data.name"'),
        ("id", 'match="data.id", or if you mean that, if_="event.id == async.id"'),
        ("ts", 'match="data.ts"'),
        ("ts.x", 'match="data.ts.x"'),
        ("v.x", 'match="data.v.x"'),
    ],
)
def test_a_path_that_cannot_be_right_is_refused_with_the_fix(path: str, fix: str) -> None:
    """What is no path, or leads to what two events never share, is answered with the path that was meant."""
    with pytest.raises(ValueError, match=f'^"{re.escape(path)}" .*write {re.escape(fix)}'):
        same_in_both(path)


@pytest.mark.parametrize("path", ["data.n == 1", "", 7, "data[x]", "data.a[", "data.f(1)"])
def test_what_is_no_path_at_all_is_refused_with_an_example(path: Any) -> None:
    """A condition belongs into ``if_``."""
    with pytest.raises(ValueError, match=r'must be a path such as "data.order_id", got .*; for a condition use if_'):
        same_in_both(path)
