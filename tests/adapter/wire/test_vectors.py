"""The protocol's own test vectors, of signatures, step ids and seeds (protocol 1.4, 1.5, 3.4, 5.2)."""

import pytest

from stepwell.wire.encoding import canonical, decode
from stepwell.wire.ids import decode_seed, hash_step_id
from stepwell.wire.signing import hash_event_key, hash_signing_key, sign, verify_request

KEY = "signkey-test-12345678"
NOW_S = 1_700_000_000


def test_hashed_signing_key():
    """The bearer form keeps the prefix and hashes the decoded body."""
    hashed = "signkey-test-b2ed992186a5cb19f6668aade821f502c1d00970dfd0e35128d51bac4649916c"
    assert hash_signing_key(KEY) == hashed


def test_hashed_event_key():
    """An event key is hashed as text."""
    assert hash_event_key("test") == "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (
            b'{"ctx":{"attempt":0},"event":{"data":{},"name":"a/b","ts":1700000000000}}',
            "c7c238d068fc312e454452c63519cece7ead0d03c4f102402c67a5c4d5fff9f1",
        ),
        (b"", "189656184e486419febc1f6fd73e1c45bc8595c99633a32ebe1ea40ac8adf630"),
    ],
)
def test_signature(body, signature):
    """A body and an empty body have the signatures of the vector, which verify."""
    header = f"t={NOW_S}&s={signature}"
    assert sign(body, KEY, NOW_S) == header
    assert sign(body, "12345678", NOW_S) == header
    assert verify_request(body, header, [KEY], NOW_S) == KEY


def test_vector_body_is_canonical():
    """The vector's body is already in canonical form."""
    body = b'{"ctx":{"attempt":0},"event":{"data":{},"name":"a/b","ts":1700000000000}}'
    assert canonical(decode(body)) == body


@pytest.mark.parametrize(
    ("step_id", "hashed"),
    [
        ("a", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("step-1", "cd59ee9a8137151d1499d3d2eb40ba51aa91e0aa"),
        ("step-1:1", "853cb1e68d4c9c2ad16aabbef8c346b559cbb55c"),
        ("complete", "0737c22d3bfae812339732d14d8c7dbd6dc4e09c"),
    ],
)
def test_step_ids(step_id, hashed):
    """A step id is hashed as the vector says."""
    assert hash_step_id(step_id) == hashed


def test_event_seed():
    """The seed of the vector is read, written back, and gives the first and second event their ids."""
    seed = decode_seed("1700000000000,AAECAwQFBgcICQ==")
    assert seed is not None
    assert seed.encode() == "1700000000000,AAECAwQFBgcICQ=="
    assert [seed.event_id(1), seed.event_id(2)] == ["01HF7YAT00000G40R40M30E20A", "01HF7YAT00000G40R40M30E20B"]
