from __future__ import annotations

from typing import Any

import pytest

from stepwell_orchestrator.engine.flow.gates import gate_id, gates_of
from stepwell_orchestrator.engine.flow.keys import evaluate_key, priority_ms, run_flow
from stepwell_orchestrator.engine.flow.options import flow_options
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.flow import RunFlow
from stepwell_orchestrator.model.function import Function

NOW_MS = 1_767_225_600_000


def an_event(**data: Any) -> Event:
    """An event with that data."""
    return Event("01", "order/created", "01", NOW_MS, NOW_MS, data=data)


def a_function(slug: str = "shop-sum", **options: Any) -> Function:
    """A function with those options."""
    return Function(slug, "shop", "Sum", "http://app.test", options=options)


@pytest.mark.parametrize(
    ("value", "key", "is_unusual"),
    [
        ("acme", "acme", False),
        (1, "1", False),
        (1.5, "1.5", False),
        (True, "true", False),
        (None, "null", True),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}', True),
        ([1, 2], "[1,2]", True),
    ],
)
def test_a_key_is_its_value_as_text(value: Any, key: str, is_unusual: bool):
    """Every value has a text, and what is no plain value is told."""
    found = evaluate_key("event.data.k", an_event(k=value), NOW_MS)
    assert (found.text, found.unusual is not None) == (key, is_unusual)


def test_events_without_the_member_share_a_key():
    """A key that yields nothing is false for all of them."""
    assert evaluate_key("event.data.k", an_event(), NOW_MS).text == "false"


def test_events_whose_key_fails_share_one():
    """An error is one key, and is told."""
    found = evaluate_key("int(event.data.k)", an_event(k="x"), NOW_MS)
    assert (found.text, found.unusual is not None) == ("(error)", True)


def test_a_long_key_is_its_beginning_and_its_hash():
    """Two long keys with the same beginning are two."""
    one, other = (evaluate_key("event.data.k", an_event(k="x" * 300 + end), NOW_MS).text for end in "ab")
    assert one != other
    assert len(one) <= 200


@pytest.mark.parametrize(
    ("value", "seconds"), [(5, 5), (-5, -5), (5_000, 600), (-5_000, -600), (2.0, 2), (2.5, 0), ("5", 0), (True, 0)]
)
def test_a_priority_is_whole_seconds_within_bounds(value: Any, seconds: int):
    """Anything else is no priority."""
    assert priority_ms("event.data.p", an_event(p=value), NOW_MS) == seconds * 1_000


def test_a_run_keeps_the_key_of_each_limit_and_its_place():
    """Keys by limit, and the time of its start less its priority."""
    function = a_function(
        concurrency=[{"limit": 1, "key": "event.data.k"}, {"limit": 2}], priority={"run": "event.data.p"}
    )
    flow = run_flow(flow_options(function), an_event(k="acme", p=30), NOW_MS + 5, NOW_MS)
    assert flow == RunFlow({"calls fn": "", "calls fn event.data.k": "acme"}, NOW_MS + 5 - 30_000)
    assert run_flow(flow_options(a_function()), an_event(), NOW_MS, NOW_MS) == RunFlow()


def test_gates_are_those_of_the_function_as_it_is_now():
    """A changed number counts; a limit that is new has no key, and one that is gone holds nobody back."""
    flow = RunFlow({"calls fn": ""}, 0)
    assert [gate.limit.most for gate in gates_of(flow, a_function(concurrency=7))] == [7]
    assert gates_of(flow, a_function(concurrency=[{"limit": 1, "key": "event.data.k"}])) == []
    assert gates_of(flow, a_function()) == gates_of(flow, None) == []


def test_a_shared_scope_is_shared_by_value():
    """Functions share a gate of the environment, whatever expression gave the key, and no gate of their own."""
    assert gate_id("a", 'calls env "x"', "x") == gate_id("b", "calls env event.data.x", "x")
    assert gate_id("a", "calls env k", "x") != gate_id("a", "calls account k", "x")
    assert gate_id("a", "calls fn k", "x") != gate_id("b", "calls fn k", "x")
    assert gate_id("a", "calls fn k", "x") != gate_id("a", "calls fn j", "x")
