"""What a serve endpoint says about itself on GET (protocol 2.8)."""

from __future__ import annotations

from typing import Any, Final

from stepwell.client.http import HttpRequest, HttpResponse
from stepwell.client.settings import Settings
from stepwell.serving.responses import json_response
from stepwell.serving.trust import Trust, kind_mismatch
from stepwell.version import VERSION
from stepwell.wire import headers as names
from stepwell.wire.registration import Registration
from stepwell.wire.signing import hash_event_key, hash_signing_key

SCHEMA_VERSION: Final = "2024-05-24"


def answer_introspection(
    request: HttpRequest, trust: Trust, settings: Settings, registration: Registration
) -> HttpResponse:
    """Answer a GET with what the server that asks may know."""
    mismatch = kind_mismatch(settings, request.headers.get(names.SERVER_KIND))
    if mismatch is not None:
        return json_response(403, mismatch.encode())
    if trust.key is not None:
        return json_response(200, full_introspection(settings, registration))
    refused = False if names.SIGNATURE in request.headers and trust.problem is not None else None
    return json_response(200, public_introspection(settings, registration, authenticated=refused))


def public_introspection(
    settings: Settings, registration: Registration, *, authenticated: bool | None
) -> dict[str, Any]:
    """What anybody may know. ``authenticated`` is None when the request was not signed, False when wrongly so."""
    return {
        "schema_version": SCHEMA_VERSION,
        "mode": settings.kind,
        "authentication_succeeded": authenticated,
        "function_count": len(registration.functions),
        "has_event_key": settings.event_key is not None,
        "has_signing_key": settings.signing_key is not None,
        "has_signing_key_fallback": settings.signing_key_fallback is not None,
    }


def full_introspection(settings: Settings, registration: Registration) -> dict[str, Any]:
    """What a server that signed its request may know; keys only as hashes."""
    return public_introspection(settings, registration, authenticated=True) | {
        "api_origin": settings.api_origin,
        "app_id": registration.app_id,
        "capabilities": registration.encode()["capabilities"],
        "env": settings.env,
        "event_api_origin": settings.event_origin,
        "event_key_hash": None if settings.event_key is None else hash_event_key(settings.event_key),
        "framework": registration.framework,
        "sdk_language": "py",
        "sdk_version": VERSION,
        "serve_origin": settings.serve_origin,
        "serve_path": settings.serve_path,
        "signing_key_hash": _key_hash(settings.signing_key),
        "signing_key_fallback_hash": _key_hash(settings.signing_key_fallback),
        "extra": {"is_streaming": settings.streaming != "disable"},
    }


def _key_hash(key: str | None) -> str | None:
    return None if key is None else hash_signing_key(key)
