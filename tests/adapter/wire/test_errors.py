"""Errors as JSON (protocol 4.6, 5.3)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.wire.encoding import encode
from stepwell.wire.errors import ErrorBody, decode_error
from tests.adapter.wire.values import json_values, texts

FULL = {"name": "E", "message": "m", "stack": "s", "code": "c", "data": 1, "cause": {"name": "C"}, "noRetry": True}
FULL_BODY = ErrorBody("E", "m", stack="s", code="c", data=1, cause={"name": "C"}, no_retry=True)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (FULL, FULL_BODY),
        (json.dumps(FULL), FULL_BODY),
        ({"name": "E", "message": "m", "__serialized": True}, ErrorBody("E", "m")),
        ({"name": "E", "message": "m", "stack": None, "code": None, "cause": None}, ErrorBody("E", "m")),
        ({"error": "summary", "name": "E"}, ErrorBody("E", "summary")),
        ({"error": "summary", "name": "E", "message": "m"}, ErrorBody("E", "m")),
        ({"message": "m"}, ErrorBody("Error", "m")),
        ({"name": 5, "message": [], "stack": 1, "noRetry": "true"}, ErrorBody("Error", "no message")),
        ({}, ErrorBody("Error", "no message")),
        ("", ErrorBody("Error", "no message")),
        ("boom", ErrorBody("Error", "boom")),
        ('"boom"', ErrorBody("Error", '"boom"')),
        ("[1]", ErrorBody("Error", "[1]")),
        (None, ErrorBody("Error", "null")),
        ([1, "a"], ErrorBody("Error", '[1,"a"]')),
        (True, ErrorBody("Error", "true")),
    ],
)
def test_decode(raw, error):
    """An error is read from an object, a doubly encoded object, or any other value as its message."""
    assert decode_error(raw) == error


def test_encode():
    """Absent members are left out, and noRetry is written only when set."""
    assert ErrorBody("E", "m").encode() == {"name": "E", "message": "m"}
    assert FULL_BODY.encode() == FULL
    assert FULL_BODY.memo() == {key: value for key, value in FULL.items() if key != "code"}


@given(
    st.builds(
        ErrorBody,
        name=texts.filter(bool),
        message=texts.filter(bool),
        stack=st.none() | texts,
        code=st.none() | texts,
        data=json_values(),
        cause=json_values(),
        no_retry=st.booleans(),
    )
)
def test_round_trip(error):
    """An error is read back as it was written, once or twice encoded."""
    assert decode_error(error.encode()) == error
    assert decode_error(encode(error.encode()).decode()) == error


@given(json_values("name", "message", "stack", "error", "cause", "noRetry"))
def test_any_error(raw):
    """Any JSON value is an error with a name and a message."""
    error = decode_error(raw)
    assert error.name
    assert error.message
