"""Who may ask (protocol 1.6): a bearer for the API, a key in the path for ingest."""

from __future__ import annotations

import hmac

from fastapi import Request

from stepwell.wire.signing import bearer_matches
from stepwell_orchestrator.api.deps import Access, WithAccess
from stepwell_orchestrator.errors import ApiError


class UnauthorizedError(Exception):
    """The bearer is missing or wrong; answered with 401 in plain text."""


async def require_bearer(request: Request, access: WithAccess) -> None:
    """Let the request pass when it carries a signing key, raw or hashed, or when none is configured."""
    if access.signing_keys and not bearer_matches(request.headers.get("authorization"), access.signing_keys):
        raise UnauthorizedError


def check_event_key(key: str, access: Access) -> None:
    """Raises ApiError 401 for a key that is not configured, 503 on a cloud server without keys."""
    if not key.strip():
        raise ApiError(401, "Event key is required")
    if not access.event_keys:
        if access.kind == "cloud":
            raise ApiError(503, "no event keys are configured on this server; set STEPWELL_EVENT_KEYS")
        return
    matches = [hmac.compare_digest(key.encode(), known.encode()) for known in access.event_keys]
    if not any(matches):
        raise ApiError(401, "Event key not found")
