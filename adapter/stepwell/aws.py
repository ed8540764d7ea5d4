"""Serve an app from AWS Lambda: ``handler = stepwell.aws.handler(app)``."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from stepwell import system
from stepwell.app import App
from stepwell.asgi_app import TRUSTED, AsgiApp, Receive, Scope, Send
from stepwell.errors import DefinitionError, WireError
from stepwell.handler import Handler
from stepwell.in_time import ALLOWANCE, Allowance, execute_in_time
from stepwell.wire.invocation import PAYLOAD_BYTES_MAX, is_direct

if TYPE_CHECKING:
    from mangum import Mangum

RESPONSE_BYTES_MAX: Final = (PAYLOAD_BYTES_MAX - 128 * 1024) // 4 * 3
"""The longest body that fits into an answer, in base64 and with room for its headers."""
TEXT_BYTES_MAX: Final = 1024 * 1024
"""A longer body goes as base64: as text, each of its quotation marks would take two bytes."""


class LambdaHandler:
    """A Lambda handler; one event loop serves all its invocations, so that what user code keeps open stays open."""

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
        return _compact(self._mangum(event, context))

    def close(self) -> None:
        """Close the event loop. Lambda has no use for it, but tests have."""
        self._runner.close()


def handler(
    app: App,
    *,
    path: str | None = None,
    dev: bool | None = None,
    serve_origin: str | None = None,
    serve_path: str | None = None,
) -> LambdaHandler:
    """``app`` as a Lambda handler, for function URLs, HTTP and REST APIs, load balancers and Stepwell's own invokes.

    It answers on every path, or only on ``path``. ``serve_origin`` and ``serve_path`` are those of ``stepwell.asgi``.
    An invocation by Stepwell needs no signature: whoever may invoke the function may call it. Raises DefinitionError
    when the package ``mangum`` is missing.
    """
    try:
        from mangum import Mangum
    except ImportError as error:
        raise DefinitionError(
            'stepwell.aws.handler needs the package mangum, which is not installed: pip install "stepwell[lambda]"'
        ) from error
    served = Handler(
        app,
        dev=dev,
        serve_origin=serve_origin,
        serve_path=serve_path,
        framework="aws-lambda",
        execute=execute_in_time(app, system.now_ms),
        response_bytes_max=RESPONSE_BYTES_MAX,
    )
    return LambdaHandler(lambda: Mangum(_InLambda(AsgiApp(served, path=path)), lifespan="off"))


class _InLambda:
    """Tells the application what only Lambda knows: how much time there is, and who let the request in."""

    def __init__(self, application: AsgiApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        event, context = scope["aws.event"], scope["aws.context"]
        if context is not None:
            ALLOWANCE.set(
                Allowance(context.get_remaining_time_in_millis(), f'Lambda function "{context.function_name}"')
            )
        await self._application({**scope, TRUSTED: is_direct(event)}, receive, send)


def _check(event: Any) -> None:
    context = event.get("requestContext") if isinstance(event, Mapping) else None
    if isinstance(context, Mapping) and (isinstance(context.get("http"), Mapping) or "httpMethod" in event):
        return
    shown = ", ".join(map(str, event)) if isinstance(event, Mapping) else type(event).__name__
    raise WireError(
        f"this event is not an HTTP request (it has: {shown[:200] or 'nothing'}); stepwell.aws.handler(app) answers "
        "function URLs, HTTP APIs and Stepwell's invokes: give other event sources a Lambda function of their own"
    )


def _compact(answer: dict[str, Any]) -> dict[str, Any]:
    body = answer.get("body") or ""
    if answer.get("isBase64Encoded") or len(body) <= TEXT_BYTES_MAX:
        return answer
    return {**answer, "body": base64.b64encode(body.encode()).decode(), "isBase64Encoded": True}
