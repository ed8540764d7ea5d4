"""Matching by index finds exactly what trying every pause would find."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell_orchestrator.engine.waits.matching import accepts, file_under, index_in
from stepwell_orchestrator.model.pause import Pause, PauseKey, PauseKind

PATHS = ("data.a", "data.b", "data.c.d", "user.id", "name")
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.sampled_from([0.0, 1.0, 2.5, 2.0**53, float(2**60)]),
    st.just(2**53 + 1), st.sampled_from(["", "x", "1", "true"]),
)  # fmt: skip
values = st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(st.sampled_from("de"), scalars, max_size=2))
events = st.fixed_dictionaries(
    {"data": st.dictionaries(st.sampled_from("abc"), values, max_size=3)},
    optional={"user": st.dictionaries(st.just("id"), scalars), "name": st.sampled_from(["x", "y"])},
)
operands = st.one_of(
    st.sampled_from([f"async.{path}" for path in PATHS]),
    st.sampled_from([f"event.{path}" for path in PATHS]),
    st.sampled_from(["1", "1.0", "'x'", "true", "null", "2.5", "'1'"]),
)
comparisons = st.builds("{} {} {}".format, operands, st.sampled_from(["==", "==", "==", "!=", ">", "<="]), operands)
expressions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("({}) && ({})".format, inner, inner),
        st.builds("({}) || ({})".format, inner, inner),
        st.builds("!({})".format, inner),
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(expressions, events, events)
def test_an_event_that_matches_is_found_by_its_index(text: str, trigger: dict[str, Any], event: dict[str, Any]) -> None:
    """Whenever the whole expression accepts an event, the event's index in the pause's shape is the pause's index."""
    shape, index = file_under(text, trigger)
    pause = Pause(PauseKey("e", index, "run", "step"), PauseKind.RESUME, shape, text, "trigger", 0, 1)
    if accepts(pause, trigger, event, 0):
        assert index_in(shape, event) == index


def test_equal_values_share_an_index_and_others_do_not() -> None:
    """Numbers are filed by value, apart from booleans and texts."""
    shape, index = file_under("async.data.n == 5", {})
    assert index_in(shape, {"data": {"n": 5.0}}) == index
    assert index_in(shape, {"data": {"n": "5"}}) != index
    assert index_in(shape, {"data": {}}) is None
    assert file_under("async.data.n == true", {})[1] != file_under("async.data.n == 1", {})[1]


def test_without_an_equality_the_pause_is_in_the_catch_all() -> None:
    """A disjunction, a negation and no expression at all are offered every event of the name."""
    for text in (None, "async.data.a == 1 || async.data.b == 2", "!(async.data.a == 1)", "async.data.a > 1"):
        assert file_under(text, {}) == ("", "")
        assert index_in("", {"data": {}}) == ""
