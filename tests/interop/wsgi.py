"""An app of the official Python package as its users deploy it: gunicorn imports this and serves what a function makes.

``SERVER_ORIGIN`` says where the server is, and ``KEYED`` whether the app has its keys.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import django
import django.conf
import django.core.wsgi
import flask

from tests.interop import tour
from tests.interop.official import new_client

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import inngest.django
    import inngest.flask

urlpatterns: list[Any] = []


def _client() -> inngest.Inngest:
    return new_client(os.environ["SERVER_ORIGIN"], keyed=os.environ["KEYED"] == "yes")


def on_django() -> Any:
    """The tour, served by Django."""
    client = _client()
    django.conf.settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of-a-test")
    urlpatterns.append(inngest.django.serve(client, tour.threads(client)))
    return django.core.wsgi.get_wsgi_application()


def on_flask() -> flask.Flask:
    """The tour, served by Flask."""
    client, app = _client(), flask.Flask("official")
    inngest.flask.serve(app, client, tour.threads(client))
    return app
