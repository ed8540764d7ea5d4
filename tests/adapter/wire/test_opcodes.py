"""Opcodes (protocol 5.1 - 5.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.errors import WireError
from stepwell.wire.encoding import decode, encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.opcodes import Op, Opcode, decode_opcodes
from tests.adapter.wire.values import json_values, objects, texts

ID = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
SPELLINGS = {
    *("None", "Step", "StepRun", "StepError", "StepFailed", "StepPlanned", "Sleep", "WaitForEvent", "InvokeFunction"),
    *("AIGateway", "Gateway", "WaitForSignal", "RunComplete", "SyncRunComplete", "DiscoveryRequest"),
    *("DeferAdd", "DeferAbort"),
}


def one(**members):
    (opcode,) = decode_opcodes([{"op": "StepRun", "id": ID, **members}])
    return opcode


def test_spellings():
    """The opcodes are exactly those of the protocol."""
    assert {op.value for op in Op} == SPELLINGS


@pytest.mark.parametrize("spelling", [*sorted(SPELLINGS), "AiGateway", "steprun", "WAITFOREVENT", "none"])
def test_names_in_any_case(spelling):
    """An opcode's name is read in any case."""
    (opcode,) = decode_opcodes([{"op": spelling, "id": ID, "error": {"name": "E", "message": "m"}}])
    assert opcode.op.value.lower() == spelling.lower()


@pytest.mark.parametrize(
    ("raw", "opcode"),
    [
        (
            {
                "op": "StepRun",
                "id": ID,
                "name": "a",
                "displayName": "A",
                "opts": {},
                "data": "hi",
                "userland": {"id": "a"},
                "timing": {"a": 1_700_000_000_000_000_000, "b": 5_000_000},
            },
            Opcode(
                Op.STEP_RUN,
                ID,
                name="a",
                display_name="A",
                data="hi",
                user_id="a",
                started_ns=1_700_000_000_000_000_000,
                duration_ns=5_000_000,
            ),
        ),
        (
            {"op": "Sleep", "id": ID, "name": "1d", "displayName": "nap", "userland": {"id": "nap", "index": 2}},
            Opcode(Op.SLEEP, ID, name="1d", display_name="nap", user_id="nap", user_index=2),
        ),
        (
            {"op": "WaitForEvent", "id": ID, "name": "app/x", "opts": {"timeout": "1h", "if": "true"}},
            Opcode(Op.WAIT_FOR_EVENT, ID, name="app/x", opts={"timeout": "1h", "if": "true"}),
        ),
        (
            {"op": "StepError", "id": ID, "error": {"name": "E", "message": "no", "stack": "s"}},
            Opcode(Op.STEP_ERROR, ID, error=ErrorBody("E", "no", stack="s")),
        ),
        (
            {"op": "StepFailed", "id": ID, "error": '{"name":"E","message":"no"}', "data": None},
            Opcode(Op.STEP_FAILED, ID, error=ErrorBody("E", "no")),
        ),
        ({"op": "None"}, Opcode(Op.NONE, "")),
        ({"op": "None", "id": None}, Opcode(Op.NONE, "")),
    ],
)
def test_decode(raw, opcode):
    """Each member is read into its field."""
    assert decode_opcodes([raw]) == (opcode,)
    assert decode_opcodes(raw) == (opcode,)


@pytest.mark.parametrize(
    "members",
    [
        {
            "opts": None,
            "data": None,
            "error": None,
            "userland": None,
            "timing": None,
            "name": None,
            "displayName": None,
        },
        {"userland": {"id": None, "index": None}, "timing": {"a": None, "b": None}},
        {"userland": [], "timing": 5, "opts": "x", "name": 1, "displayName": {}},
        {"userland": {"id": 1, "index": "2"}, "timing": {"a": "1", "b": True}},
        {"mode": "async", "rawArgs": [], "hashedId": "x", "fulfilled": True, "promise": {}, "middleware": {}},
    ],
)
def test_decode_tolerance(members):
    """Optional members may be null or of another type, and unknown ones are ignored."""
    assert one(**members) == Opcode(Op.STEP_RUN, ID)


def test_several():
    """A list keeps its order and may be empty."""
    raw = [{"op": "StepPlanned", "id": "a"}, {"op": "Sleep", "id": "b"}]
    assert [opcode.id for opcode in decode_opcodes(raw)] == ["a", "b"]
    assert decode_opcodes([]) == ()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (None, "a 206 body must be a list of opcodes, got NoneType"),
        ("text", "a 206 body must be a list of opcodes, got str"),
        ([None], "an opcode must be an object, got NoneType"),
        ([{}], "unknown opcode None"),
        ({}, "unknown opcode None"),
        ([{"op": "StepNotFound", "id": ID}], "unknown opcode 'StepNotFound'"),
        ([{"op": 2, "id": ID}], "unknown opcode 2"),
        ([{"op": ["StepRun"], "id": ID}], r"unknown opcode \['StepRun'\]"),
        ([{"op": "StepRun"}], "opcode StepRun has no id"),
        ([{"op": "StepRun", "id": ""}], "opcode StepRun has no id"),
        ([{"op": "StepRun", "id": 5}], "opcode StepRun has no id"),
        ([{"op": "StepError", "id": ID}], f"opcode StepError {ID} has no error"),
        ([{"op": "StepFailed", "id": ID, "error": None}], f"opcode StepFailed {ID} has no error"),
    ],
)
def test_refused(raw, said):
    """A reply that cannot be understood is refused by what is wrong with it."""
    with pytest.raises(WireError, match=f"^{said}$"):
        decode_opcodes(raw)


@pytest.mark.parametrize(
    ("opcode", "expected"),
    [
        (
            Opcode(Op.STEP_RUN, ID, name="a", data=None),
            {"op": "StepRun", "id": ID, "name": "a", "displayName": "a", "opts": {}, "data": None},
        ),
        (
            Opcode(Op.SLEEP, ID, name="1d", display_name="nap", user_id="nap", opts={"type": "x"}),
            {
                "op": "Sleep",
                "id": ID,
                "name": "1d",
                "displayName": "nap",
                "opts": {"type": "x"},
                "userland": {"id": "nap"},
                "data": None,
            },
        ),
        (
            Opcode(
                Op.STEP_ERROR, ID, error=ErrorBody("E", "m"), user_id="a", user_index=1, started_ns=1, duration_ns=2
            ),
            {
                "op": "StepError",
                "id": ID,
                "name": "",
                "displayName": "",
                "opts": {},
                "error": {"name": "E", "message": "m"},
                "userland": {"id": "a", "index": 1},
                "timing": {"a": 1, "b": 2},
            },
        ),
    ],
)
def test_encode(opcode, expected):
    """An opcode is written with data or error, and with an index only for a repeated id."""
    assert opcode.encode() == expected


@pytest.mark.parametrize(
    ("opcode", "title"),
    [
        (Opcode(Op.SLEEP, ID, name="1d", display_name="nap"), "nap"),
        (Opcode(Op.SLEEP, ID, name="1d"), "1d"),
        (Opcode(Op.SLEEP, ID), ID),
    ],
)
def test_title(opcode, title):
    """People are shown the display name, else the name, else the id."""
    assert opcode.title == title


@pytest.mark.parametrize(
    ("opts", "mode"),
    [({"parallelMode": "race"}, "race"), ({"parallelMode": "wait"}, "wait"), ({"parallelMode": "x"}, None), ({}, None)],
)
def test_parallel_mode(opts, mode):
    """The parallel mode is one of the two that the protocol knows, or none."""
    assert one(opts=opts).parallel_mode == mode


titles = texts.filter(bool)
outputs = st.one_of(
    st.fixed_dictionaries({"op": st.sampled_from([Op.STEP_RUN, Op.STEP_PLANNED, Op.SLEEP]), "data": json_values()}),
    st.fixed_dictionaries(
        {
            "op": st.sampled_from([Op.STEP_ERROR, Op.STEP_FAILED]),
            "error": st.builds(ErrorBody, name=titles, message=titles, no_retry=st.booleans(), data=json_values()),
        }
    ),
)
named = st.one_of(st.just({}), st.fixed_dictionaries({"user_id": titles, "user_index": st.integers(0, 9)}))
timed = st.one_of(
    st.just({}), st.fixed_dictionaries({"started_ns": st.integers(0, 2**62), "duration_ns": st.integers(0, 2**40)})
)
opcodes = st.builds(
    lambda output, user, timing, **rest: Opcode(**output, **user, **timing, **rest),
    outputs,
    named,
    timed,
    id=titles,
    name=texts,
    display_name=titles,
    opts=objects,
)


@given(st.lists(opcodes, max_size=3))
def test_round_trip(sent):
    """Opcodes are read back as they were written."""
    assert decode_opcodes(decode(encode([opcode.encode() for opcode in sent]))) == tuple(sent)


@given(
    st.one_of(
        json_values("op", "id", "opts", "error", "userland", "timing"),
        st.lists(
            st.fixed_dictionaries(
                {"op": st.sampled_from(sorted(SPELLINGS)), "id": json_values()},
                optional={
                    name: json_values("id", "index", "a", "b") for name in ("opts", "error", "userland", "timing")
                },
            ),
            max_size=3,
        ),
    )
)
def test_any_reply(raw):
    """Any JSON is a tuple of opcodes or a WireError."""
    try:
        found = decode_opcodes(raw)
    except WireError:
        return
    assert all(opcode.id or opcode.op is Op.NONE for opcode in found)
