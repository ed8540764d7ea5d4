"""An HTML form as an event (protocol 3.1): what names the event stands beside ``data``, every other field is in it."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qsl

FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")

_MEMBERS: Final = ("name", "id", "v")
_JSON_STARTS: Final = (b"{", b"[")


def is_form(content_type: str, body: bytes) -> bool:
    """Whether a body is a form: its type says so, and it does not start as JSON does."""
    return content_type.lower().startswith(FORMS) and not body.lstrip().startswith(_JSON_STARTS)


def form_event(content_type: str, body: bytes) -> dict[str, Any]:
    """The event in a form. A field that comes several times is a list; uploaded files are left out."""
    fields = _urlencoded(body) if content_type.lower().startswith(FORMS[0]) else _multipart(content_type, body)
    event: dict[str, Any] = {"data": {}}
    for name, value in fields:
        if name in _MEMBERS:
            event[name] = value
        elif name in event["data"]:
            known = event["data"][name]
            event["data"][name] = [*(known if isinstance(known, list) else [known]), value]
        else:
            event["data"][name] = value
    return event


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    return parse_qsl(body.decode(errors="replace"), keep_blank_values=True)


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and part.get_filename() is None and isinstance(content, bytes):
            fields.append((name, content.decode(errors="replace")))
    return fields
