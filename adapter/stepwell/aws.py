"""Serve an app from AWS Lambda: ``handler = stepwell.aws.handler(app)``."""

from __future__ import annotations

from stepwell.authoring.app import App
from stepwell.client import system
from stepwell.errors import DefinitionError
from stepwell.serving.asgi_app import PUBLIC_PATH, TRUSTED, AsgiApp, Receive, Scope, Send
from stepwell.serving.deadline import ALLOWANCE, Allowance, execute_in_time
from stepwell.serving.handler import Handler, settings_of
from stepwell.serving.lambda_handler import RESPONSE_BYTES_MAX, LambdaHandler, public_path
from stepwell.wire.invocation import is_direct


def handler(
    app: App,
    *,
    path: str | None = None,
    dev: bool | None = None,
    serve_origin: str | None = None,
    serve_path: str | None = None,
) -> LambdaHandler:
    """``app`` as a Lambda handler, for function URLs, HTTP and REST APIs, load balancers and Stepwell's own invokes.

    It answers on every path, or only on ``path``, which may follow a stage or a base path. ``serve_origin`` and
    ``serve_path`` are those of ``stepwell.asgi``.
    An invocation by Stepwell needs no signature: who may invoke the Lambda function may call the app.
    Raises DefinitionError when the package ``mangum`` is missing.
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
        execute=execute_in_time(app, settings_of(app, dev=dev), system.now_ms, system.sleep_ms),
        response_bytes_max=RESPONSE_BYTES_MAX,
    )
    application = _InLambda(AsgiApp(served, path=path))
    return LambdaHandler(lambda: Mangum(application, lifespan="off"))


class _InLambda:
    """Tells the application what only Lambda knows: how much time there is, and whether IAM let the request in."""

    def __init__(self, application: AsgiApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        event, context = scope["aws.event"], scope["aws.context"]
        if context is not None:
            giver = f'Lambda function "{context.function_name}"'
            ALLOWANCE.set(Allowance(context.get_remaining_time_in_millis(), giver))
        told = {TRUSTED: is_direct(event), PUBLIC_PATH: public_path(event) or scope["path"]}
        await self._application({**scope, **told}, receive, send)
