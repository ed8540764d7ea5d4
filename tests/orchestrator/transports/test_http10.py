"""Replies of HTTP/1.0 that announce chunks: what the parser is given of them, however they arrive."""

from __future__ import annotations

import pytest

from stepwell_orchestrator.transports.http10 import FirstReply

HEAD = b"HTTP/1.0 206 Partial\r\nTransfer-Encoding: chunked\r\nX-Inngest-Sdk: py\r\n\r\n"
MENDED = b"HTTP/1.0 206 Partial\r\nX-Inngest-Sdk: py\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        (HEAD + b'[{"id": "a"}]', MENDED + b'[{"id": "a"}]'),
        (HEAD + b"", MENDED),
        (HEAD + b"17", MENDED + b"17"),
        (HEAD + b"17 is no size", MENDED + b"17 is no size"),
        (HEAD + b"a" * 40, MENDED + b"a" * 40),
        (HEAD + b"3\r\nabc\r\n0\r\n\r\n", HEAD + b"3\r\nabc\r\n0\r\n\r\n"),
        (HEAD + b"3;x=y\r\nabc\r\n0\r\n\r\n", HEAD + b"3;x=y\r\nabc\r\n0\r\n\r\n"),
        (HEAD.replace(b"1.0", b"1.1") + b"{}", HEAD.replace(b"1.0", b"1.1") + b"{}"),
        (MENDED + b"{}", MENDED + b"{}"),
        (HEAD[:20], HEAD[:20]),
        (b"nonsense", b"nonsense"),
        (b"HTTP/1.0 200 OK\r\n" + b"x" * 70_000, b"HTTP/1.0 200 OK\r\n" + b"x" * 70_000),
    ],
    ids=lambda value: f"{value[-20:]!r}",
)
@pytest.mark.parametrize("piece_bytes", [1, 50, 100_000])
def test_a_reply_loses_a_header_that_is_not_true(sent: bytes, given: bytes, piece_bytes: int) -> None:
    """The announcement of chunks is taken out where none follow, and nothing else is changed."""
    if len(sent) > 1_000 and piece_bytes == 1:
        piece_bytes = 1_000
    reply = FirstReply()
    passed = [reply.feed(sent[start : start + piece_bytes]) for start in range(0, len(sent), piece_bytes)]
    assert b"".join(passed) + reply.close() == given


def test_what_follows_a_reply_is_passed_on() -> None:
    """Only the beginning of a connection's first reply is looked at."""
    reply = FirstReply()
    assert reply.feed(MENDED) == MENDED
    assert reply.feed(HEAD) == HEAD
    assert reply.close() == b""
