"""Bodies that come compressed, or with a byte order mark: taken as what they mean, and bounded by it."""

from __future__ import annotations

import gzip
import zlib

import httpx
import pytest

from stepwell_orchestrator.api.ingest.content_encoding import BodyReader
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.limits import INGEST_BYTES_MAX

BODY = b'{"name": "shop/order", "data": {"text": "' + b"tea " * 1_000 + b'"}}'
BOUND = 10_000


def zipped(body: bytes, level: int = 9) -> bytes:
    """The body as gzip, the same in every test run."""
    return gzip.compress(body, level, mtime=0)


def shown(value: object) -> str:
    """A parameter in the name of its test."""
    return f"{value!r:.24}"


def bare_deflate(body: bytes) -> bytes:
    """The body as deflate without zlib's frame."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def read(encoding: str, sent: bytes, piece_bytes: int = 7) -> bytes:
    """What a reader makes of a body that comes in small pieces."""
    reader = BodyReader(encoding, BOUND)
    for start in range(0, len(sent), piece_bytes):
        reader.feed(sent[start : start + piece_bytes])
    return reader.close()


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("", BODY),
        ("identity", BODY),
        ("gzip", zipped(BODY)),
        (" X-GZip", zipped(BODY)),
        ("gzip", zipped(BODY[:100]) + zipped(b"") + zipped(BODY[100:])),
        ("deflate", zlib.compress(BODY)),
        ("Deflate", bare_deflate(BODY)),
    ],
    ids=shown,
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 100_000])
def test_a_body_is_inflated(encoding: str, sent: bytes, piece_bytes: int) -> None:
    """However it was compressed, and in whatever pieces it comes, the body is what was meant."""
    assert read(encoding, sent, piece_bytes) == BODY


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_an_empty_body_is_empty(encoding: str) -> None:
    """Nothing sent is nothing, whatever the header says."""
    assert read(encoding, b"") == b""


def test_a_body_may_be_as_long_as_the_bound() -> None:
    """Inflated it may have the bound's length, and not a byte more."""
    assert len(read("gzip", zipped(bytes(BOUND)))) == BOUND
    with pytest.raises(ApiError, match="is over 10000 bytes") as refusal:
        read("gzip", zipped(bytes(BOUND + 1)))
    assert refusal.value.status == 413


@pytest.mark.parametrize(
    ("encoding", "sent", "status", "why"),
    [
        ("br", BODY, 415, "Content-Encoding 'br' is not understood; send gzip, deflate or none"),
        ("gzip, gzip", BODY, 415, "'gzip, gzip' is not understood"),
        ("gzip", BODY, 400, "the body is not gzip, as its Content-Encoding says"),
        ("deflate", zipped(BODY), 400, "the body is not deflate"),
        ("gzip", zipped(BODY)[:-1], 400, "ends in the middle of its gzip data"),
        ("gzip", zipped(BODY) + b"more", 400, "the body is not gzip"),
        ("deflate", zlib.compress(BODY) * 2, 400, "goes on after the end of its deflate data"),
        ("gzip", zipped(b"") * 1_001, 413, "is over 10000 bytes"),
    ],
    ids=shown,
)
def test_a_bad_encoding_is_refused(encoding: str, sent: bytes, status: int, why: str) -> None:
    """What cannot be inflated is refused with what is wrong."""
    with pytest.raises(ApiError) as refusal:
        read(encoding, sent, 1_000)
    assert (refusal.value.status, why in refusal.value.message) == (status, True), refusal.value.message


def test_a_body_of_countless_empty_members_is_refused() -> None:
    """A gzip body that goes on for ever without a byte in it ends at a number of members."""
    reader = BodyReader("gzip", INGEST_BYTES_MAX)
    with pytest.raises(ApiError, match="goes on after the end"):
        reader.feed(zipped(b"") * 2_000)


def test_a_bomb_is_inflated_no_further_than_the_bound() -> None:
    """Of a body that would inflate a thousandfold one byte over the bound is made, and no piece after it is taken."""
    bomb = zipped(bytes(1_000 * BOUND))
    reader = BodyReader("gzip", BOUND)
    with pytest.raises(ApiError, match="is over 10000 bytes"):
        reader.feed(bomb)
    assert len(reader.body) == BOUND + 1


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        (zipped(BODY), {"content-encoding": "gzip"}),
        (zlib.compress(BODY), {"content-encoding": "deflate"}),
        (b"\xef\xbb\xbf" + BODY, {}),
        (zipped(b"\xef\xbb\xbf" + BODY), {"content-encoding": "gzip"}),
    ],
    ids=shown,
)
async def test_events_come_compressed_and_with_a_mark(
    api: httpx.AsyncClient, sent: bytes, headers: dict[str, str]
) -> None:
    """The ingest endpoint takes what .NET and log shippers send."""
    answer = await api.post("/e/key", content=sent, headers=headers)
    assert answer.status_code == 200, answer.text
    [event_id] = answer.json()["ids"]
    event = (await api.get(f"/v1/events/{event_id}")).json()["data"]
    assert (event["name"], len(event["data"]["text"])) == ("shop/order", 4_000)


@pytest.mark.parametrize(
    ("sent", "encoding", "status"),
    [
        (zipped(bytes(INGEST_BYTES_MAX + 1), 1), "gzip", 413),
        (zipped(BODY)[:-4], "gzip", 400),
        (BODY, "gzip", 400),
        (BODY, "zstd", 415),
    ],
    ids=["bomb", "cut off", "not compressed", "unknown"],
)
async def test_a_bad_encoding_stores_nothing(api: httpx.AsyncClient, sent: bytes, encoding: str, status: int) -> None:
    """The answer is one line in the shape of ingest, with the right status, and there is no event."""
    answer = await api.post("/e/key", content=sent, headers={"content-encoding": encoding})
    assert (answer.status_code, answer.json()["ids"], answer.json()["status"]) == (status, [], status)
    assert "\n" not in answer.json()["error"]
    assert (await api.get("/v1/events")).json()["data"] == []
