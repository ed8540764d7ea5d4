"""Step names and event ids."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.wire.ids import (
    EventIdSeed,
    StepNames,
    decode_seed,
    derived_seed,
    derived_ulid,
    hash_step_id,
    is_ulid,
    ulid_from,
    ulid_ms,
)

MAX_MS = 2**48 - 1


@pytest.mark.parametrize(
    ("user_ids", "expected"),
    [
        (["x", "y", "x", "x"], [("x", 0, "x"), ("y", 0, "y"), ("x", 1, "x:1"), ("x", 2, "x:2")]),
        (["x:1", "x", "x"], [("x:1", 0, "x:1"), ("x", 0, "x"), ("x", 2, "x:2")]),
        (["x", "x:1", "x", "x"], [("x", 0, "x"), ("x:1", 0, "x:1"), ("x", 2, "x:2"), ("x", 3, "x:3")]),
        (["x", "x", "x:1"], [("x", 0, "x"), ("x", 1, "x:1"), ("x:1", 1, "x:1:1")]),
        (["x:1", "x:2", "x", "x"], [("x:1", 0, "x:1"), ("x:2", 0, "x:2"), ("x", 0, "x"), ("x", 3, "x:3")]),
        (["", ""], [("", 0, ""), ("", 1, ":1")]),
        (["é"], [("é", 0, "é")]),
    ],
)
def test_repeated_names(user_ids, expected):
    """Repeated ids count up in discovery order and skip the names that were used explicitly."""
    names = StepNames()
    found = [names.name(user_id) for user_id in user_ids]
    assert [(name.user_id, name.index, name.hashed) for name in found] == [
        (user_id, index, hash_step_id(text)) for user_id, index, text in expected
    ]


@given(st.lists(st.sampled_from(["x", "x:1", "x:2", "x:1:1", "y"]), max_size=12))
def test_names_are_unique(user_ids):
    """No two steps of a replay share a wire id, and a second replay derives the same ones."""
    first, second = StepNames(), StepNames()
    hashes = [first.name(user_id).hashed for user_id in user_ids]
    assert len(set(hashes)) == len(hashes)
    assert [second.name(user_id).hashed for user_id in user_ids] == hashes


def test_lone_surrogate_name():
    """An id with half a surrogate pair still has a hash."""
    assert len(hash_step_id("\ud800")) == 40


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "1700000000000",
        ",AAECAwQFBgcICQ==",
        "1700000000000,",
        "x,AAECAwQFBgcICQ==",
        "-1,AAECAwQFBgcICQ==",
        "1.5,AAECAwQFBgcICQ==",
        "٣,AAECAwQFBgcICQ==",
        "²,AAECAwQFBgcICQ==",
        f"{MAX_MS + 1},AAECAwQFBgcICQ==",
        "9" * 5000 + ",AAECAwQFBgcICQ==",
        "1700000000000,AAECAwQFBgcI",
        "1700000000000,AAECAwQFBgcICQoL",
        "1700000000000,not base64!",
        "1700000000000,AAECAwQFBgcICQ",
        "1700000000000,é",
        "1700000000000,AAECAwQFBgcICQ==,more",
    ],
)
def test_invalid_seed(text):
    """An invalid seed counts as none."""
    assert decode_seed(text) is None


@given(st.text(max_size=40))
def test_any_seed_text(text):
    """Any header text is a seed or none, and never an error."""
    decode_seed(text)


@given(st.integers(0, MAX_MS), st.binary(min_size=10, max_size=10))
def test_seed_round_trip(ms, entropy):
    """A seed is read back as it was written."""
    seed = EventIdSeed(ms, entropy)
    assert decode_seed(seed.encode()) == seed


@given(st.integers(0, MAX_MS), st.binary(min_size=10, max_size=10))
def test_ulid_time(ms, entropy):
    """A ULID is canonical and keeps its time."""
    text = ulid_from(ms, entropy)
    assert is_ulid(text)
    assert ulid_ms(text) == ms


def test_ordinal_wraps():
    """The ordinal is added to the last four bytes alone, which wrap around."""
    seed = EventIdSeed(0, b"\x01" * 6 + b"\xff" * 4)
    assert seed.event_id(0) == ulid_from(0, b"\x01" * 6 + b"\xff" * 4)
    assert seed.event_id(1) == ulid_from(0, b"\x01" * 6 + b"\x00" * 4)
    assert seed.event_id(2) == ulid_from(0, b"\x01" * 6 + b"\x00\x00\x00\x01")


def test_derived():
    """A derived seed or ULID depends on its arguments alone, and on each of them."""
    assert derived_seed(5, "a", "b") == derived_seed(5, "a", "b")
    assert derived_ulid(5, "a", "b") == derived_ulid(5, "a", "b")
    assert len({derived_ulid(ms, *parts) for ms in (5, 6) for parts in (("a", "b"), ("ab",), ("b", "a"), ("a",))}) == 8
    assert ulid_ms(derived_ulid(5, "a")) == 5


@pytest.mark.parametrize(
    "text",
    ["", "01HF7YAT00000G40R40M30E20", "01hf7yat00000g40r40m30e20a", "01HF7YAT00000G40R40M30E2U0", "8" * 26, "é" * 26],
)
def test_not_a_ulid(text):
    """A text of another length, case or alphabet, or beyond 128 bits, is not a ULID."""
    assert is_ulid(text) is False


@given(st.text(max_size=30))
def test_any_ulid_text(text):
    """Any text either is a ULID or is not, and its time is read or refused with ValueError."""
    if is_ulid(text):
        assert 0 <= ulid_ms(text) <= MAX_MS
    else:
        with contextlib.suppress(ValueError):
            ulid_ms(text)
