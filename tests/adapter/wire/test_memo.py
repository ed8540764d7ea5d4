"""Memo shapes (protocol 4.3)."""

import pytest
from hypothesis import given

from stepwell.wire.errors import ErrorBody
from stepwell.wire.memo import Failure, Input, Value, decode_memo, failure_memo, value_memo
from tests.adapter.wire.values import json_values

EVENT = {"id": "e", "name": "a/b", "data": {"x": 1}, "ts": 1, "user": {}}
TIMED_OUT = {
    "error": "InngestInvokeTimeoutError: Timed out waiting for invoked function to complete",
    "name": "InngestInvokeTimeoutError",
    "message": "Timed out waiting for invoked function to complete",
}


@pytest.mark.parametrize(
    ("raw", "memo"),
    [
        ({"data": {"a": 1}}, Value({"a": 1})),
        ({"data": None}, Value(None)),
        ({"data": {"data": 1}}, Value({"data": 1})),
        ({"data": 1, "type": "data"}, Value(1)),
        (None, Value(None)),
        (5, Value(5)),
        ("text", Value("text")),
        ([1], Value([1])),
        ({}, Value({})),
        ({"type": "x"}, Value({"type": "x"})),
        (EVENT, Value(EVENT)),
        ({"data": 1, "error": None}, Value({"data": 1, "error": None})),
        ({"data": 1, "more": 2}, Value({"data": 1, "more": 2})),
        ({"data": {"signal": "s", "data": 1}}, Value({"signal": "s", "data": 1})),
        ({"error": {"name": "E", "message": "m"}}, Failure(ErrorBody("E", "m"))),
        (
            {"error": {"name": "E", "message": "m", "stack": "s", "data": 1, "cause": {"name": "C"}}},
            Failure(ErrorBody("E", "m", stack="s", data=1, cause={"name": "C"})),
        ),
        ({"error": TIMED_OUT}, Failure(ErrorBody(TIMED_OUT["name"], TIMED_OUT["message"]))),
        ({"error": "text"}, Value({"error": "text"})),
        ({"error": None}, Value({"error": None})),
        ({"input": [1, {"a": 2}]}, Input((1, {"a": 2}))),
        ({"input": []}, Input(())),
        ({"input": "x"}, Value({"input": "x"})),
    ],
)
def test_shapes(raw, memo):
    """Each stored shape is told apart: wrapper, failure, input override, and the bare value."""
    assert decode_memo(raw) == memo


def test_written_shapes():
    """A result and a failure are written in their wrappers; a failure keeps all but its code."""
    error = ErrorBody("E", "m", stack="s", code="unknown", data={"x": 1}, cause={"name": "C", "message": "c"})
    assert value_memo(None) == {"data": None}
    assert failure_memo(error) == {
        "error": {"name": "E", "message": "m", "stack": "s", "data": {"x": 1}, "cause": {"name": "C", "message": "c"}}
    }


@given(json_values("data", "error", "input", "type"))
def test_round_trip(value):
    """A wrapped value is read back, and any stored value is a memo."""
    assert decode_memo(value_memo(value)) == Value(value)
    assert isinstance(decode_memo(value), Value | Failure | Input)
