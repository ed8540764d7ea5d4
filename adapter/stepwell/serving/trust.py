"""Whom an app believes: requests with a signature of its key, and servers of the kind it is configured for."""

from __future__ import annotations

from dataclasses import dataclass

from stepwell.client.http import HttpRequest
from stepwell.client.settings import Settings
from stepwell.errors import SignatureError
from stepwell.wire import headers as names
from stepwell.wire.errors import ErrorBody
from stepwell.wire.signing import verify_request


@dataclass(frozen=True, slots=True)
class Trust:
    """What the signature of a request is worth: the key that made it, or the problem it is refused for.

    It has neither when the platform lets nobody through who may not call the app, nor in dev mode, where a server need
    not sign.
    """

    key: str | None = None
    problem: str | None = None


def trust_in(request: HttpRequest, settings: Settings, now_s: int) -> Trust:
    """What the signature of ``request`` is worth at ``now_s``, in epoch seconds."""
    keys = settings.signing_keys
    unsigned = not keys or names.SIGNATURE not in request.headers
    if request.trusted or (settings.dev and unsigned):
        return Trust()
    if not keys:
        return Trust(problem="no signing key is configured; set STEPWELL_SIGNING_KEY, or STEPWELL_DEV=1 locally")
    try:
        return Trust(key=verify_request(request.body, request.headers.get(names.SIGNATURE), keys, now_s))
    except SignatureError as error:
        return Trust(problem=str(error))


def kind_mismatch(settings: Settings, server_kind: str | None) -> ErrorBody | None:
    """What is wrong with a server that says it is of ``server_kind``. Returns None when it may be believed."""
    if server_kind is None or server_kind == settings.kind:
        return None
    fix = "unset STEPWELL_DEV" if settings.dev else "set STEPWELL_DEV=1"
    message = f"the app is in {settings.kind} mode but the server is of kind {server_kind}"
    return registration_error(f"{message}; {fix}, or use the right server", code="server_kind_mismatch")


def registration_error(message: str, *, code: str) -> ErrorBody:
    """Why an app and a server do not come together."""
    return ErrorBody("SyncError", message, code=code)
