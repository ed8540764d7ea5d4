"""A call request as a Lambda invocation: what both ends agree on beside the event of an HTTP request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PAYLOAD_BYTES_MAX: Final = 6 * 1024 * 1024
"""What Lambda takes in one invocation, and what it lets a function answer."""

DIRECT: Final[Mapping[str, Any]] = {"stepwell": {"invoked": "directly"}}
"""What a direct invocation has in its event. A request over HTTP only fills members that its gateway makes."""


def is_direct(event: Mapping[str, Any]) -> bool:
    """Whether an event came by an invocation, which IAM has allowed."""
    return all(event.get(name) == value for name, value in DIRECT.items())
