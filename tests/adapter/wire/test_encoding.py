"""JSON to bytes and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.errors import EncodingError, WireError
from stepwell.wire.encoding import canonical, canonical_in_doubles, decode, encode
from tests.adapter.wire.values import json_values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [1.0, None, True]}, b'{"b":1,"a":[1.0,null,true]}'),
        ("é😀\n", '"é😀\\n"'.encode()),
        ((1, 2), b"[1,2]"),
        (2**70, b"1180591620717411303424"),
    ],
)
def test_encode(value, expected):
    """Encoding is compact UTF-8 that keeps the order of keys."""
    assert encode(value) == expected


CYCLE: list[object] = []
CYCLE.append(CYCLE)
DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), [-float("inf")], "\ud800", {"\udc00": 1}, {1, 2}, b"x", object(), CYCLE, DEEP],
    ids=["nan", "inf", "-inf", "surrogate", "surrogate key", "set", "bytes", "object", "cycle", "deep"],
)
def test_not_encodable(value):
    """What JSON cannot hold is refused by both encodings."""
    for encoder in (encode, canonical, canonical_in_doubles):
        with pytest.raises(EncodingError, match="not JSON"):
            encoder(value)


@pytest.mark.parametrize(
    "raw",
    [
        *("", " ", "{", "[1,]", "{'a':1}", "undefined", "1 2", "NaN", "[Infinity]", "-Infinity", "1e400", "[-1e999]"),
        *(b"\xff", b"\xef\xbb\xbf1", '"\\ud800"', '"\\udc00\\ud800"', '["\\uD83D\\uD83D"]', "9" * 5000),
        *("[" * 100_000, '{"a":' * 100_000),
    ],
    ids=lambda raw: str(raw[:12]),
)
def test_malformed(raw):
    """What is not JSON is refused with WireError, in one line."""
    with pytest.raises(WireError, match="malformed JSON") as caught:
        decode(raw)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (r'"\ud83d\ude00"', "😀"),
        (r'"\\ud800"', r"\ud800"),
        (r'"\\\ud83d\ude00"', "\\😀"),
        (r'"\uD83D\uDE00\ud83d\ude00"', "😀😀"),
        (' [1, {"a": null}] ', [1, {"a": None}]),
        ("1e308", 1e308),
        ("-0.0", -0.0),
    ],
)
def test_decode(raw, value):
    """Valid JSON is read, escapes that only look like half a pair included, and repair changes nothing of it."""
    assert decode(raw) == decode(raw.encode()) == decode(raw, repair=True) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (r'"a\ud83d"', "a\ufffd"),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (r'{"\ud800": "\\ud800"}', {"\ufffd": r"\ud800"}),
    ],
)
def test_repair(raw, value):
    """Half a surrogate pair is replaced where repair is asked for."""
    assert decode(raw, repair=True) == value


@given(json_values())
def test_round_trip(value):
    """What is encoded is read back as it was, and what is read from the canonical form yields that form again."""
    assert decode(encode(value)) == value
    assert canonical(decode(canonical(value))) == canonical(value)


@given(st.one_of(st.text(), st.binary(), st.text(r'\ud8cCdD0123456789abf"[]{},:', max_size=30)), st.booleans())
def test_decode_anything(raw, repair):
    """Any text or bytes are refused with WireError, or read and can be encoded again."""
    try:
        value = decode(raw, repair=repair)
    except WireError:
        return
    if isinstance(raw, bytes):
        assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": 2, "€": 3, "\U0001f600": 4}, '{"a":2,"b":1,"€":3,"😀":4}'.encode()),
        ([1.0, 1e21, 1e-7, 0.1, -0.0, 333333333.33333329], b"[1,1e+21,1e-7,0.1,0,333333333.3333333]"),
        ('\x0f\n</"', b'"\\u000f\\n</\\""'),
        (
            [2**53, 3.156768484858161e16, 31567684848581610, 1e-7],
            b"[9007199254740992,31567684848581610,31567684848581610,1e-7]",
        ),
        ({"b": 2**60, "a": 1}, b'{"a":1,"b":1152921504606846976}'),
        ([10**400], b"[" + str(10**400).encode() + b"]"),
    ],
)
def test_canonical(value, expected):
    """The canonical form sorts keys and writes numbers as ECMAScript does; larger integers are kept exact."""
    assert canonical(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 5.0, "a": 2**53 - 1}, b'{"a":9007199254740991,"b":5}'),
        ([2**53 + 1, -(2**63)], b"[9007199254740992,-9223372036854776000]"),
        ({"a": (10**22, {"n": 2**64})}, b'{"a":[1e+22,{"n":18446744073709552000}]}'),
    ],
)
def test_canonical_in_doubles(value, expected):
    """A large integer is spelled as JavaScript writes the number that it reads."""
    assert canonical_in_doubles(value) == expected
    assert canonical_in_doubles(json.loads(expected, parse_int=float)) == expected


def test_no_double_is_infinite():
    """An integer beyond the largest double is refused with what to do about it."""
    with pytest.raises(EncodingError, match="beyond the largest double; send it as a string"):
        canonical_in_doubles({"n": [10**400]})


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [("5.0", 5, int), ("-0.0", 0, int), ("1e3", 1000, int), ("5.5", 5.5, float), ("1e300", 1e300, float)],
)
def test_whole_numbers_are_integers_however_they_are_spelled(text, value, kind):
    """A number is read the same from plain and from canonical JSON, so that a replay sees what the first run saw."""
    read = decode(text)
    assert (read, type(read)) == (value, kind)
    assert type(decode(canonical(read))) is kind
