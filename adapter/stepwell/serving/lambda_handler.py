"""An ASGI application as a Lambda handler: Mangum, one event loop for all invocations, and clear words for the rest."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from stepwell.errors import WireError
from stepwell.wire.encoding import encode
from stepwell.wire.invocation import PAYLOAD_BYTES_MAX

if TYPE_CHECKING:
    from mangum import Mangum

HEADERS_BYTES_MAX: Final = 128 * 1024
RESPONSE_BYTES_MAX: Final = (PAYLOAD_BYTES_MAX - HEADERS_BYTES_MAX) // 4 * 3
"""The longest body that fits into an answer, in base64 and with room for its headers."""
TEXT_BYTES_MAX: Final = 1024 * 1024
"""A longer body goes as base64: as text, each of its quotation marks would take two bytes."""


class LambdaHandler:
    """A Lambda handler; one event loop serves all its invocations, so that what user code keeps open stays open.

    ``mangum`` makes the Mangum to serve, at the first invocation, in the loop.
    """

    def __init__(self, mangum: Callable[[], Mangum]) -> None:
        self._make_mangum = mangum
        self._mangum: Mangum | None = None
        self._runner = asyncio.Runner()

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        """Answer one invocation. Raises WireError for an event that is no HTTP request."""
        _check(event)
        # Mangum runs its application on the current loop, and makes one when there is none.
        asyncio.set_event_loop(self._runner.get_loop())
        self._mangum = self._mangum or self._make_mangum()
        return _fitting(self._mangum(event, context))

    def close(self) -> None:
        """Close the event loop. Lambda has no use for it, but tests have."""
        self._runner.close()


def public_path(event: Mapping[str, Any]) -> str:
    """The path as the caller wrote it, with the stage or base path that a front door may strip; empty if unknown."""
    context = event["requestContext"]
    path = context.get("path") if "httpMethod" in event else event.get("rawPath")
    return path if isinstance(path, str) else ""


def _check(event: Any) -> None:
    context = event.get("requestContext") if isinstance(event, Mapping) else None
    if isinstance(context, Mapping) and (isinstance(context.get("http"), Mapping) or "httpMethod" in event):
        return
    shown = ", ".join(map(str, event)) if isinstance(event, Mapping) else type(event).__name__
    raise WireError(
        f"this event is not an HTTP request (it has: {shown[:200] or 'nothing'}); only function URLs, HTTP APIs, load "
        "balancers and Stepwell's invocations are answered here: other event sources need a function of their own"
    )


def _fitting(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer in a form that fits into a payload, or an error instead when none does."""
    body = answer.get("body") or ""
    if len(body) <= TEXT_BYTES_MAX:
        return answer
    if not answer.get("isBase64Encoded"):
        body = base64.b64encode(body.encode()).decode()
    size = len(body) // 4 * 3
    if size <= RESPONSE_BYTES_MAX:
        return {**answer, "body": body, "isBase64Encoded": True}
    error = (
        f"the answer is {size} bytes, and Lambda carries {RESPONSE_BYTES_MAX}: ask for less, such as a smaller limit"
    )
    return {
        "statusCode": 413,
        "headers": {"content-type": "application/json"},
        "body": encode({"error": error, "status": 413}).decode(),
        "isBase64Encoded": False,
    }
