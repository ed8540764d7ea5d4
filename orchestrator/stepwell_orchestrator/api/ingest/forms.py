"""HTML forms (protocol 3.1). Reading one takes time in proportion to its length, whatever it looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from stepwell.errors import EventError

FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
FIELDS_MAX: Final = 10_000

_MEMBERS: Final = ("name", "id", "v")
_JSON_STARTS: Final = (b"{", b"[")
_BOUNDARY = re.compile(r'(?i);\s*boundary=(?:"([^"]+)"|([^\s;"]+))')
_PARAMETER = re.compile(rb';\s*([\w*-]+)=("[^"]*"|[^;"]*)')
_DISPOSITION = re.compile(rb"(?i)content-disposition:([^\r\n]*)")


def is_form(content_type: str, body: bytes) -> bool:
    """Whether a body is a form: its type says so, and it does not start as JSON does."""
    return content_type.lower().startswith(FORMS) and not body.lstrip().startswith(_JSON_STARTS)


def form_fields(content_type: str, body: bytes) -> dict[str, str | list[str]]:
    """The fields of a form. One that comes several times is a list; uploaded files are left out.

    Raises EventError for what is no such form.
    """
    several: dict[str, list[str]] = {}
    fields = _urlencoded(body) if content_type.lower().startswith(FORMS[0]) else _multipart(content_type, body)
    for name, value in fields:
        several.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in several.items()}


def form_event(fields: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """The event in a form: what names the event stands beside ``data``, every other field is in it."""
    data = {name: value for name, value in fields.items() if name not in _MEMBERS}
    return {**{name: value for name, value in fields.items() if name in _MEMBERS}, "data": data}


def _urlencoded(body: bytes) -> Iterable[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise EventError(_TOO_MANY) from None


def _multipart(content_type: str, body: bytes) -> Iterator[tuple[str, str]]:
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise EventError("a multipart form needs a boundary in its content type; an HTTP library sets it by itself")
    for part in _parts(b"\r\n" + body, b"\r\n--" + (found[1] or found[2]).encode()):
        head, _, content = part.partition(b"\r\n\r\n")
        name = _field_name(head)
        if name is not None:
            yield name, content.decode(errors="replace")


def _parts(body: bytes, delimiter: bytes) -> Iterator[bytes]:
    """What stands between the delimiters, from the line after one up to the next."""
    start = body.find(delimiter)
    for _ in range(FIELDS_MAX + 1):
        if start < 0:
            raise EventError("the form ends before its last boundary; was it cut off on its way?")
        start += len(delimiter)
        if body.startswith(b"--", start):
            return
        end = body.find(delimiter, start)
        if end >= 0:
            yield body[start:end]
        start = end
    raise EventError(_TOO_MANY)


def _field_name(head: bytes) -> str | None:
    """The name of a part's field; None for an uploaded file, and for a part without a name."""
    disposition = _DISPOSITION.search(head)
    if disposition is None:
        return None
    parameters = {key.lower(): _unquoted(value) for key, value in _PARAMETER.findall(disposition[1])}
    if b"name" not in parameters or b"filename" in parameters or b"filename*" in parameters:
        return None
    return parameters[b"name"].decode(errors="replace")


def _unquoted(value: bytes) -> bytes:
    return value[1:-1] if value.startswith(b'"') else value.strip()


_TOO_MANY = f"the form has over {FIELDS_MAX} fields; send JSON"
