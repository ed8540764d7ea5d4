"""What an app tells a server about itself when it registers, in band or out of band (protocol 2.3 - 2.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from stepwell.authoring.app import App
from stepwell.authoring.function import Function
from stepwell.client.settings import Settings
from stepwell.version import SDK, VERSION
from stepwell.wire.call import DISCOVERY_STEP_ID
from stepwell.wire.registration import FunctionConfig, Registration

_OF_THE_PROTOCOL: Final = frozenset({"fnId", "stepId", "deployId", "probe"})
"""What a query has for one request alone."""


def registration_of(app: App, settings: Settings, *, url: str, framework: str) -> Registration:
    """The registration of ``app`` as served at ``url``."""
    return Registration(
        app_id=app.id,
        url=url,
        functions=tuple(_config(function, url) for function in app.functions.values()),
        sdk=SDK,
        framework=framework,
        env=settings.env or "",
    )


def serve_url(settings: Settings, url: str, query: Mapping[str, str]) -> str:
    """Where the server shall call an app that was reached at ``url``: there, or where the settings say.

    What the ``query`` has of its own stays: a platform may let through only who knows a word in it.
    """
    parts = urlsplit(url)
    origin = settings.serve_origin or f"{parts.scheme}://{parts.netloc}"
    kept = urlencode({name: value for name, value in query.items() if name not in _OF_THE_PROTOCOL})
    return origin + (settings.serve_path or parts.path) + (f"?{kept}" if kept else "")


def asked_url(url: str) -> str:
    """The same for a URL that the server names in its request."""
    bare, _, query = url.partition("?")
    kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in _OF_THE_PROTOCOL]
    return bare + (f"?{urlencode(kept)}" if kept else "")


def in_band_body(registration: Registration, inspection: Mapping[str, Any]) -> dict[str, Any]:
    """The answer when the server asks in band: the registration, and the full introspection (protocol 2.4)."""
    wire = registration.encode()
    return {
        "app_id": registration.app_id,
        "env": registration.env or None,
        "framework": registration.framework,
        "platform": None,
        "functions": wire["functions"],
        "capabilities": wire["capabilities"],
        "inspection": dict(inspection),
        "sdk": registration.sdk,
        "sdk_author": "stepwell",
        "sdk_language": "py",
        "sdk_version": VERSION,
        "url": registration.url,
    }


def _config(function: Function[Any], url: str) -> FunctionConfig:
    return FunctionConfig(
        id=function.slug,
        name=function.name,
        url=f"{url}{'&' if '?' in url else '?'}{urlencode({'fnId': function.slug, 'stepId': DISCOVERY_STEP_ID})}",
        triggers=function.triggers,
        retries=function.retries,
        options=function.options,
    )
