"""A request and a response as data: what every way of serving an app turns its own kind of request into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepwell.errors import WireError
from stepwell.wire.encoding import decode


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. ``url`` has no query, ``headers`` has lower-case names, ``query`` the last value of each name.

    ``trusted``: the platform has let nobody through who may not call the app, so that it needs no signature.
    """

    method: str
    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response, complete; ``headers`` has lower-case names."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json_object(self) -> Mapping[str, Any]:
        """The body as a JSON object; empty when it is anything else, as an answer from a proxy may be."""
        try:
            value = decode(self.body)
        except WireError:
            return {}
        return value if isinstance(value, Mapping) else {}
