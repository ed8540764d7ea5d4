"""Events that come as HTML forms (protocol 3.1)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from stepwell_orchestrator.api.ingest.forms import FIELDS_MAX

MULTIPART = (
    b'--b\r\ncontent-disposition: form-data; name="name"\r\n\r\nshop/order\r\n'
    b'--b\r\ncontent-disposition: form-data; name="who"\r\n\r\nAda L\xc3\xb6ve\r\n'
    b'--b\r\ncontent-disposition: form-data; name="photo"; filename="a.png"\r\n\r\n\x00\x01\r\n--b--\r\n'
)
SPELLED_OTHERWISE = (
    b"--b\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; NAME=name\r\n\r\nshop/order\r\n"
    b'--b\r\ncontent-disposition: form-data; name="a;b"\r\n\r\n 1\r\n2 \r\n'
    b'--b\r\ncontent-disposition: form-data; filename*=x; name="file"\r\n\r\nleft out\r\n'
    b"--b\r\ncontent-disposition: form-data\r\n\r\nnameless\r\n--b\r\n\r\nheadless\r\n"
    b'--b \r\ncontent-disposition: form-data; name="odd"\r\n--b--\r\nan epilogue'
)
URLENCODED = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body", "data", "own_id"),
    [
        (URLENCODED, b"name=shop/order&id=mine&who=Ada+L%C3%B6ve&tag=a&tag=b&tag=c&empty=", None, "mine"),
        ("multipart/form-data; boundary=b", MULTIPART, {"who": "Ada Löve"}, None),
        (URLENCODED, b' {"name": "shop/order", "data": {"json": true}}', {"json": True}, None),
        ("text/plain", b'{"name": "shop/order", "data": {"json": true}}', {"json": True}, None),
        ('Multipart/Form-Data; charset=utf-8; Boundary="b"', b"a preamble\r\n" + MULTIPART, {"who": "Ada Löve"}, None),
        ("multipart/form-data; boundary=b", SPELLED_OTHERWISE, {"a;b": " 1\r\n2 ", "odd": ""}, None),
        (URLENCODED, b"\xef\xbb\xbfname=shop/order&who=Ada", {"who": "Ada"}, None),
    ],
)
async def test_a_form_is_an_event(
    api: httpx.AsyncClient, content_type: str, body: bytes, data: dict[str, Any] | None, own_id: str | None
) -> None:
    """The name and the id are the event's, other fields its data; what starts as JSON is JSON whatever its type."""
    answer = await api.post("/e/key", content=body, headers={"content-type": content_type})
    assert answer.status_code == 200, answer.text
    [event_id] = answer.json()["ids"]
    event = (await api.get(f"/v1/events/{event_id}")).json()["data"]
    assert event["name"] == "shop/order"
    assert event["data"] == (data or {"who": "Ada Löve", "tag": ["a", "b", "c"], "empty": ""})
    assert event["id"] == (own_id or event_id)


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        (URLENCODED, b"who=Ada", "event name is empty"),
        (URLENCODED, b"name=inngest/x", "event name is reserved for internal use: inngest/x"),
        (URLENCODED, b"a&" * (FIELDS_MAX + 1), "the form has over 10000 fields"),
        ("multipart/form-data", b"nothing", "a multipart form needs a boundary in its content type"),
        ("multipart/form-data; boundary=b", b"--b\r\n", "the form ends before its last boundary"),
        ("multipart/form-data; boundary=b", b"nothing", "the form ends before its last boundary"),
        ("multipart/form-data; boundary=b", MULTIPART[:-6], "the form ends before its last boundary"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n" * (FIELDS_MAX + 2), "the form has over 10000 fields"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", "event name is empty"),
        ("text/plain", b"name=shop/order", "malformed JSON"),
    ],
)
async def test_a_bad_form_is_refused(api: httpx.AsyncClient, content_type: str, body: bytes, error: str) -> None:
    """A form without an event's name is a bad event like any other, and nothing is stored."""
    answer = await api.post("/e/key", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["ids"]) == (400, [])
    assert answer.json()["error"].startswith(error)


async def test_an_empty_form_is_no_event(api: httpx.AsyncClient) -> None:
    """An empty body is answered with success and no ids."""
    answer = await api.post("/e/key", content=b"", headers={"content-type": URLENCODED})
    assert answer.json() == {"ids": [], "status": 200}
