"""The shapes of answers (protocol 7.2), and of the questions in a query string."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from stepwell.errors import WireError
from stepwell.wire.encoding import decode, encode
from stepwell.wire.times import format_instant, parse_instant_ms
from stepwell_orchestrator.accepting.register import InvalidFunctionsError
from stepwell_orchestrator.api.ingest.content_encoding import BodyReader
from stepwell_orchestrator.errors import ApiError


def json_response(value: Any, status: int = 200) -> Response:
    """A bare JSON value."""
    return Response(encode(value), status, media_type="application/json")


def success(data: Any, now_ms: int, **members: Any) -> Response:
    """The success envelope; ``members`` go beside ``data``."""
    metadata = {"fetched_at": format_instant(now_ms), "cached_until": None}
    return json_response({"data": data, "metadata": metadata, **members})


def failure(error: ApiError) -> Response:
    """The error shape, with the error's own status."""
    details = {"errors": list(error.details)} if isinstance(error, InvalidFunctionsError) else None
    code = {} if error.code is None else {"code": error.code}
    return json_response({**code, "error": error.message, "data": details, "status": error.status}, error.status)


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The request's body, inflated where it was compressed, without a byte order mark.

    Raises ApiError 413 as soon as it is over the bound, and reads no further; 415 and 400 for a bad Content-Encoding.
    """
    reader = BodyReader(request.headers.get("content-encoding", ""), bytes_max)
    async for chunk in request.stream():
        reader.feed(chunk)
    return reader.close().removeprefix(codecs.BOM_UTF8)


async def read_object(request: Request, bytes_max: int, *, empty: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """The JSON object in the request's body; ``empty`` stands for no body. Raises ApiError 400 and 413."""
    raw = await read_body(request, bytes_max)
    if empty is not None and not raw.strip():
        return empty
    try:
        body = decode(raw)
    except WireError as error:
        raise ApiError(400, str(error)) from error
    if not isinstance(body, Mapping):
        raise ApiError(400, "the body must be a JSON object")
    return body


def query_limit(request: Request, *, default: int, most: int) -> int:
    """``limit``, at most ``most``. Raises ApiError 400."""
    text = request.query_params.get("limit", "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
        raise ApiError(400, f"limit must be a whole number from 1 to {most}, got {text[:40]!r}")
    return min(int(text[:9]), most)


def query_instant(request: Request, name: str) -> int | None:
    """Returns the query parameter ``name`` as epoch milliseconds, or None when absent. Raises ApiError 400."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return parse_instant_ms(text)
    except WireError as error:
        raise ApiError(400, f"{name}: {error}") from error
