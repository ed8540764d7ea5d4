"""Signatures and bearer tokens (protocol 1.4 - 1.6)."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.errors import SignatureError
from stepwell.wire.encoding import canonical
from stepwell.wire.signing import WINDOW_S, bearer_matches, hash_signing_key, sign, verify_request, verify_response
from tests.adapter.wire.values import json_values

KEY = "signkey-test-12345678"
OTHER = "signkey-prod-deadbeef"
NOW_S = 1_700_000_000
BODY = b'{"a":1,"b":[true,null]}'
HEADER = sign(BODY, KEY, NOW_S)


@pytest.mark.parametrize("body", [BODY, b'{ "b": [true, null],\n "a": 1.0 }', b'{"b":[true,null],"a":1}'])
def test_request_is_verified_canonically(body):
    """A request's signature is over the canonical form, however its bytes are laid out."""
    assert verify_request(body, HEADER, [KEY], NOW_S) == KEY


def test_signature_over_other_layout():
    """A signature over bytes that are not the canonical form is refused."""
    body = b'{"b": 2, "a": 1}'
    with pytest.raises(SignatureError, match="matches no configured signing key"):
        verify_request(body, sign(body, KEY, NOW_S), [KEY], NOW_S)


def test_request_that_is_not_json():
    """A body that is not JSON is verified as its raw bytes."""
    assert verify_request(b"not json", sign(b"not json", KEY, NOW_S), [KEY], NOW_S) == KEY


def test_request_beyond_the_canonical_domain():
    """Integers that canonical JSON does not cover are signed and verified exactly."""
    body = canonical({"n": 2**60, "a": 1})
    assert body == b'{"a":1,"n":1152921504606846976}'
    assert verify_request(body, sign(body, KEY, NOW_S), [KEY], NOW_S) == KEY


def test_response_is_verified_raw():
    """A response's signature is over its bytes: another layout is refused, one trailing newline is not."""
    body = b'{ "b": 2, "a": 1 }'
    header = sign(body, KEY, NOW_S)
    assert verify_response(body, header, [KEY], NOW_S) == KEY
    assert verify_response(body + b"\n", header, [KEY], NOW_S) == KEY
    assert verify_response(b"{}\n", sign(b"{}\n", KEY, NOW_S), [KEY], NOW_S) == KEY
    for altered in (b'{"a":1,"b":2}', body + b"\n\n", body + b" "):
        with pytest.raises(SignatureError, match="matches no configured signing key"):
            verify_response(altered, header, [KEY], NOW_S)


@pytest.mark.parametrize("verify", [verify_request, verify_response])
def test_rotation(verify):
    """Any configured key verifies, and the one that did is returned."""
    assert verify(BODY, HEADER, [OTHER, KEY], NOW_S) == KEY
    assert verify(BODY, HEADER, iter([KEY, OTHER]), NOW_S) == KEY
    for keys in ([OTHER], []):
        with pytest.raises(SignatureError, match="matches no configured signing key"):
            verify(BODY, HEADER, keys, NOW_S)


@pytest.mark.parametrize("key", ["12345678", "signkey-prod-12345678", "signkey-branch_1-12345678"])
def test_prefix_is_no_part_of_the_key(key):
    """A key signs alike with any environment's prefix and with none."""
    assert sign(BODY, key, NOW_S) == HEADER
    assert verify_request(BODY, HEADER, [key], NOW_S) == key


@pytest.mark.parametrize("key", ["signkey-test-signkey-test-12345678", "signkey-a b-12345678", "signkey--12345678"])
def test_what_is_not_a_prefix(key):
    """Only one prefix of one word is removed."""
    assert sign(BODY, key, NOW_S) != HEADER


@pytest.mark.parametrize("skew_s", [-WINDOW_S, -1, 0, 1, WINDOW_S])
def test_inside_the_window(skew_s):
    """A signature up to 300 seconds old or ahead is accepted."""
    assert WINDOW_S == 300
    assert verify_request(BODY, HEADER, [KEY], NOW_S + skew_s) == KEY
    assert verify_response(BODY, HEADER, [KEY], NOW_S + skew_s) == KEY


@pytest.mark.parametrize("skew_s", [-WINDOW_S - 1, WINDOW_S + 1, 10**9])
def test_outside_the_window(skew_s):
    """A signature more than 300 seconds off is refused, and the error says how far."""
    for verify in (verify_request, verify_response):
        with pytest.raises(SignatureError, match=f"the signature is {abs(skew_s)} s off; check both clocks"):
            verify(BODY, HEADER, [KEY], NOW_S + skew_s)


def test_time_is_signed():
    """The same digest under another time is refused."""
    moved = HEADER.replace(f"t={NOW_S}", f"t={NOW_S + 1}")
    with pytest.raises(SignatureError, match="matches no configured signing key"):
        verify_request(BODY, moved, [KEY], NOW_S)


DIGEST = HEADER.partition("&s=")[2]


@pytest.mark.parametrize(
    "header",
    [
        f"s={DIGEST}&t={NOW_S}",
        f"t={NOW_S}",
        f"s={DIGEST}",
        f"t={NOW_S}&s=",
        f"t={NOW_S}&s={DIGEST[:-1]}",
        f"t={NOW_S}&s={DIGEST}0",
        f"t={NOW_S}&s={DIGEST.upper()}",
        f"t={NOW_S}&s={DIGEST}\n",
        f" t={NOW_S}&s={DIGEST}",
        f"t=-{NOW_S}&s={DIGEST}",
        f"t={NOW_S}.0&s={DIGEST}",
        f"t=1e9&s={DIGEST}",
        f"t=١٢٣&s={DIGEST}",
        f"t={'9' * 5000}&s={DIGEST}",
        f"t={NOW_S}&s={DIGEST}&x=1",
        "garbage",
    ],
)
def test_malformed_header(header):
    """A header of any other form is refused as malformed."""
    with pytest.raises(SignatureError, match="the signature header is malformed"):
        verify_request(BODY, header, [KEY], NOW_S)


@pytest.mark.parametrize("header", [None, ""])
def test_missing_header(header):
    """A request without a signature is refused, and the error says what to set."""
    with pytest.raises(SignatureError, match="is not signed; set the same signing key on both sides"):
        verify_request(BODY, header, [KEY], NOW_S)


@given(st.binary(max_size=60), st.text(max_size=90))
def test_any_request(body, header):
    """Any body and header end in SignatureError, and a real signature over the body never does."""
    with pytest.raises(SignatureError):
        verify_request(body, header, [KEY], NOW_S)
    assert verify_response(body, sign(body, KEY, NOW_S), [KEY], NOW_S) == KEY


def test_comparisons_take_constant_time(monkeypatch):
    """Digests and bearer tokens are compared by compare_digest, and a bearer with every form of every key."""
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)) or real(one, other))
    verify_request(BODY, HEADER, [OTHER, KEY], NOW_S)
    assert [other for _, other in compared] == [DIGEST, DIGEST]
    compared.clear()
    assert bearer_matches("Bearer 12345678", [KEY, OTHER])
    assert [form.decode() for _, form in compared] == [
        "12345678",
        hash_signing_key("12345678"),
        "deadbeef",
        hash_signing_key("deadbeef"),
    ]


HASHED = hash_signing_key(KEY)
BARE_HASH = HASHED.removeprefix("signkey-test-")


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {HASHED}",
        f"Bearer {BARE_HASH}",
        f"Bearer signkey-prod-{BARE_HASH}",
        f"Bearer {KEY}",
        "Bearer 12345678",
        f"bearer {HASHED}",
        f"BEARER  {HASHED} ",
    ],
)
@pytest.mark.parametrize("keys", [[KEY], ["12345678"], [OTHER, KEY]])
def test_bearer(authorization, keys):
    """A bearer is the key or its hash, with a prefix or without, under a scheme in any case."""
    assert bearer_matches(authorization, keys) is True


@pytest.mark.parametrize(
    "authorization",
    [
        *(None, "", "Bearer", "Bearer ", "Bearer undefined", f"Basic {HASHED}", HASHED, "Bearer signkey-test-"),
        *(f"Bearer {HASHED[:-1]}", f"Bearer {HASHED}0", "Bearer 12345679", "Bearer \ud800", "Bearer é"),
    ],
)
def test_bearer_refused(authorization):
    """Anything else is not a match, whatever the header holds."""
    assert bearer_matches(authorization, [KEY]) is False
    assert bearer_matches(authorization, []) is False


def test_empty_key_matches_nothing():
    """A key that is empty but for its prefix lets nobody in."""
    for key in ("", "signkey-test-"):
        assert bearer_matches("Bearer signkey-test-", [key]) is False


@pytest.mark.parametrize("key", ["not-hex", "signkey-test-xyz", "123", "signkey-test-é", "\ud800"])
def test_key_that_is_not_hex(key):
    """A key that is not hexadecimal has no hash, matches raw, and does not keep another key from matching."""
    with pytest.raises(SignatureError, match="signkey-<env>-<hexadecimal>"):
        hash_signing_key(key)
    assert bearer_matches(f"Bearer {key}", [key]) is True
    assert bearer_matches(f"Bearer {HASHED}", [key]) is False
    assert bearer_matches(f"Bearer {HASHED}", [key, KEY]) is True


@given(json_values())
def test_signed_round_trip(value):
    """What one end signs in canonical form, the other verifies."""
    body = canonical(value)
    assert verify_request(body, sign(body, KEY, NOW_S), [KEY], NOW_S) == KEY
