"""Serve an app from FastAPI or Starlette."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route

from stepwell.authoring.app import App
from stepwell.serving.asgi_app import AsgiApp
from stepwell.serving.handler import Handler


def serve(
    api: Starlette,
    app: App,
    path: str = "/api/inngest",
    *,
    dev: bool | None = None,
    serve_origin: str | None = None,
    serve_path: str | None = None,
) -> None:
    """Add the serve endpoint of ``app`` to ``api`` (a FastAPI is a Starlette) at ``path``, outside its API schema.

    ``serve_origin`` and ``serve_path`` say under which URL the server reaches it when a proxy stands in between.
    """
    handler = Handler(app, dev=dev, serve_origin=serve_origin, serve_path=serve_path, framework="fastapi")
    api.router.routes.append(Route(path, AsgiApp(handler), include_in_schema=False))
