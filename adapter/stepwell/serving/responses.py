"""The responses of a serve endpoint that are no function's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.client.http import HttpResponse
from stepwell.wire.encoding import encode
from stepwell.wire.errors import ErrorBody
from stepwell.wire.reply import Failed, encode_reply


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A response with a JSON value."""
    return HttpResponse(status, headers or {}, encode(body))


def error_response(status: int, message: str, *, code: str | None = None) -> HttpResponse:
    """The refusal of a request."""
    return json_response(status, ErrorBody("RequestError", message, code=code).encode())


def unauthorised(problem: str) -> HttpResponse:
    """The refusal of a request whose signature is not what it should be."""
    return error_response(401, problem, code="sig_verification_failed")


def failed_call(message: str, *, code: str, name: str, no_retry: bool = False) -> HttpResponse:
    """The reply to a call that failed, but not by its function. Unless ``no_retry``, the server calls again."""
    error = ErrorBody(name, message, code=code)
    return HttpResponse(*encode_reply(Failed(error, error.encode(), no_retry=no_retry), now_ms=0))
