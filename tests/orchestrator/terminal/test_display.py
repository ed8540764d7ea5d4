from __future__ import annotations

import pytest

from stepwell_orchestrator.terminal.display import ASCII, UNICODE, duration_text, error_text, glyphs_for, op_word


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0ms"),
        (999, "999ms"),
        (1_000, "1.00s"),
        (9_999, "9.99s"),
        (10_000, "10.0s"),
        (59_999, "59.9s"),
        (60_000, "1m 00s"),
        (125_000, "2m 05s"),
        (3_599_999, "59m 59s"),
        (3_600_000, "1h 00m"),
        (86_399_999, "23h 59m"),
        (86_400_000, "1d 0h"),
        (366 * 86_400_000, "366d 0h"),
    ],
)
def test_duration_text(duration_ms: int, text: str):
    """A duration has at most two parts and never shows more time than has passed."""
    assert duration_text(duration_ms) == text


@pytest.mark.parametrize(
    ("encoding", "glyphs"),
    [("utf-8", UNICODE), ("UTF8", UNICODE), ("utf-16-le", UNICODE), ("ascii", ASCII), ("cp1252", ASCII)],
)
def test_glyphs_for(encoding: str, glyphs: object):
    """A terminal that is not Unicode gets plain ASCII."""
    assert glyphs_for(encoding) is glyphs


def test_every_ascii_glyph_is_ascii():
    """The fallback really is ASCII, and every sign but the ellipsis is one cell wide."""
    signs = {name: getattr(ASCII, name) for name in ASCII.__slots__}
    assert all(sign.isascii() for sign in signs.values())
    assert {name for name, sign in signs.items() if len(sign) != 1} == {"ellipsis"}


@pytest.mark.parametrize(
    ("op", "word"),
    [
        ("StepRun", "run"),
        ("StepFailed", "run"),
        ("Sleep", "sleep"),
        ("WaitForEvent", "wait"),
        ("InvokeFunction", "invoke"),
        ("SomethingNew", "somethingnew"),
    ],
)
def test_op_word(op: str, word: str):
    """A kind of step has one short word, and an unknown kind its own name."""
    assert op_word(op) == word


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ({"name": "ValueError", "message": "no\n  way", "stack": "..."}, "ValueError: no way"),
        ({"message": "no"}, "no"),
        ({"name": "ValueError", "message": ""}, "ValueError"),
        ({"code": 7}, '{"code":7}'),
        ("plain", '"plain"'),
        (None, "null"),
    ],
)
def test_error_text(error: object, text: str):
    """An error body of any shape fits on one line."""
    assert error_text(error) == text
