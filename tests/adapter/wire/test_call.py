"""The call request (protocol 4.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.errors import WireError
from stepwell.wire.call import CallContext, CallRequest, decode_call_request
from stepwell.wire.encoding import decode, encode
from tests.adapter.wire.values import json_values, objects, texts

EVENT = {"id": "e", "name": "a/b", "data": {}, "ts": 1, "user": {}}
MINIMAL = {"event": EVENT, "ctx": {"run_id": "R"}}


def with_ctx(**members):
    return {**MINIMAL, "ctx": {"run_id": "R", **members}}


def test_encode():
    """Every member is spelled as servers and SDKs expect it, use_api in both places."""
    request = CallRequest(
        event=EVENT,
        events=(EVENT,),
        steps={"s1": None, "s2": {"data": 1}},
        version=2,
        ctx=CallContext(
            run_id="R",
            attempt=1,
            max_attempts=5,
            stack=("s2", "s1"),
            stack_current=2,
            disable_immediate_execution=True,
            use_api=True,
            fn_id="F",
            env="prod",
            step_id="s3",
            qi_id="Q",
            request_id="RQ",
            generation_id=3,
            job_id="J",
        ),
    )
    assert request.encode() == {
        "event": EVENT,
        "events": [EVENT],
        "steps": {"s1": None, "s2": {"data": 1}},
        "defers": {},
        "ctx": {
            "fn_id": "F",
            "run_id": "R",
            "env": "prod",
            "step_id": "s3",
            "attempt": 1,
            "max_attempts": 5,
            "stack": {"stack": ["s2", "s1"], "current": 2},
            "disable_immediate_execution": True,
            "use_api": True,
            "qi_id": "Q",
            "request_id": "RQ",
            "job_id": "J",
            "generation_id": 3,
        },
        "version": 2,
        "use_api": True,
    }


def test_encode_defaults():
    """A first call asks for discovery with version -1, and a generation of 0 is left out."""
    body = CallRequest(event=EVENT, ctx=CallContext(run_id="R")).encode()
    assert (body["version"], body["ctx"]["step_id"], body["ctx"]["max_attempts"]) == (-1, "step", None)
    assert "generation_id" not in body["ctx"]


def test_decode_minimal():
    """Members that are absent have their defaults, and the event stands for the events."""
    assert decode_call_request(MINIMAL) == CallRequest(event=EVENT, events=(EVENT,), ctx=CallContext(run_id="R"))


@pytest.mark.parametrize(
    "raw",
    [
        {**MINIMAL, "events": None, "steps": None, "defers": None, "version": None, "use_api": None},
        with_ctx(stack=None, attempt=None, max_attempts=None, step_id=None, fn_id=None, qi_id=None, generation_id=None),
        with_ctx(stack={"stack": None, "current": None}, env=None, request_id=None, job_id=None, use_api=None),
        {**MINIMAL, "events": [], "unknown": {"a": 1}, "ctx": {"run_id": "R", "unknown": [1]}},
        with_ctx(attempt="1", generation_id=True, step_id=5, disable_immediate_execution="yes"),
    ],
)
def test_decode_tolerance(raw):
    """Nulls, unknown members and scalars of the wrong type count as absent."""
    assert decode_call_request(raw) == decode_call_request(MINIMAL)


@pytest.mark.parametrize("raw", [{**MINIMAL, "use_api": True}, with_ctx(use_api=True)])
def test_use_api(raw):
    """Either use_api member asks for the state to be fetched."""
    assert decode_call_request(raw).ctx.use_api is True


def test_steps_keep_null():
    """A step finished with null is present, and one that has not finished is absent."""
    steps = decode_call_request({**MINIMAL, "steps": {"done": None}}).steps
    assert "done" in steps
    assert "other" not in steps


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "the body must be an object"),
        ([], "the body must be an object"),
        ({}, "event must be an object"),
        ({"event": EVENT}, "ctx must be an object"),
        ({"event": [], "ctx": {"run_id": "R"}}, "event must be an object"),
        ({"event": EVENT, "ctx": {}}, "ctx.run_id is missing"),
        (with_ctx(run_id=""), "ctx.run_id is missing"),
        (with_ctx(run_id=5), "ctx.run_id is missing"),
        (with_ctx(stack=[1]), "ctx.stack must be an object"),
        (with_ctx(stack={"stack": 5}), "ctx.stack.stack must be a list of step ids"),
        (with_ctx(stack={"stack": {"a": 1}}), "ctx.stack.stack must be a list of step ids"),
        (with_ctx(stack={"stack": ["a", 1]}), "ctx.stack.stack must be a list of step ids"),
        ({**MINIMAL, "events": {"a": 1}}, "events must be a list"),
        ({**MINIMAL, "events": [1]}, r"events\[\] must be an object"),
        ({**MINIMAL, "steps": [1]}, "steps must be an object"),
    ],
)
def test_refused(raw, said):
    """A body that cannot be understood is refused by the name of the member."""
    with pytest.raises(WireError, match=f"^call request: {said}$"):
        decode_call_request(raw)


counts = st.integers(0, 2**31)
contexts = st.builds(
    CallContext,
    run_id=texts.filter(bool),
    attempt=counts,
    max_attempts=st.none() | st.integers(1, 21),
    stack=st.lists(texts).map(tuple),
    stack_current=counts,
    disable_immediate_execution=st.booleans(),
    use_api=st.booleans(),
    fn_id=texts,
    env=texts,
    step_id=texts.filter(bool),
    qi_id=texts,
    request_id=texts,
    generation_id=counts,
    job_id=texts,
)
requests = st.builds(
    CallRequest,
    event=objects,
    ctx=contexts,
    events=st.lists(objects, min_size=1, max_size=3).map(tuple),
    steps=st.dictionaries(texts, json_values(), max_size=4),
    version=st.integers(-1, 3),
)


@given(requests)
def test_round_trip(request):
    """A call request is read back as it was written."""
    assert decode_call_request(decode(encode(request.encode()))) == request


@given(json_values("event", "events", "ctx", "steps", "run_id", "stack", "attempt", "use_api", "current"))
def test_any_call(raw):
    """Any JSON is a call request or a WireError."""
    try:
        decode_call_request(raw)
    except WireError:
        return
    assert raw["ctx"]["run_id"]


def test_how_far_the_lines_have_come_is_a_member_of_our_own():
    """It is written as the server's own member, left out where it is not known, and read back."""
    ctx = CallContext(run_id="R", said=(2, 1))
    request = CallRequest(event=EVENT, events=(EVENT,), ctx=ctx)
    assert request.encode()["ctx"]["stepwell"] == {"said": [2, 1]}
    assert decode_call_request(request.encode()).ctx.said == (2, 1)
    assert "stepwell" not in CallRequest(event=EVENT, ctx=CallContext(run_id="R")).encode()["ctx"]


@pytest.mark.parametrize("own", [None, {}, [], {"said": 1}, {"said": [1]}, {"said": [1, -1]}, {"said": [True, 1]}])
def test_a_position_that_is_none_counts_as_absent(own):
    """Servers that tell nothing, or something else, are like those without the member."""
    assert decode_call_request(with_ctx(stepwell=own)).ctx.said is None


@pytest.mark.parametrize(("own", "ours"), [(None, False), ([], False), ({}, True), ({"said": [0, 0]}, True)])
def test_a_server_of_our_own_is_known_by_its_member(own, ours):
    """Whatever it tells there; others have no such member."""
    ctx = decode_call_request(with_ctx(stepwell=own)).ctx
    assert ctx.from_stepwell is ours


def test_a_server_of_our_own_says_so_in_every_call():
    """Also in one that has nothing else to tell."""
    assert CallRequest(event=EVENT, ctx=CallContext(run_id="R", from_stepwell=True)).encode()["ctx"]["stepwell"] == {}
