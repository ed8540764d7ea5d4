"""Answering CloudFormation: a custom resource that is not answered holds its stack up for an hour."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

REASON_CHARS_MAX: Final = 1_500
"""An answer may have 4 KB."""
_TRIES: Final = 3
_TIMEOUT_S: Final = 5

_log = logging.getLogger("stepwell.sync")

Put = Callable[[str, bytes], None]
"""Puts a body to a URL, or raises OSError."""


@dataclass(frozen=True, slots=True)
class ResourceResult:
    """What came of a request. ``data`` are the resource's attributes."""

    data: Mapping[str, Any]
    problem: str | None = None


def is_custom_resource(event: Any) -> bool:
    """Whether an event is CloudFormation's."""
    return isinstance(event, Mapping) and isinstance(event.get("ResponseURL"), str) and "RequestType" in event


def physical_id(event: Mapping[str, Any]) -> str:
    """The resource's name: the one it has, or one that is the same whenever its creation is asked for again."""
    known = event.get("PhysicalResourceId")
    if isinstance(known, str) and known:
        return known
    identity = f"{event.get('StackId')}/{event.get('LogicalResourceId')}"
    return f"stepwell-sync-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


async def answer(event: Mapping[str, Any], result: ResourceResult, put: Put) -> None:
    """Tell CloudFormation what came of its request, a few times if need be. Never raises."""
    body = json.dumps(
        {
            "Status": "SUCCESS" if result.problem is None else "FAILED",
            "Reason": (result.problem or "done")[:REASON_CHARS_MAX],
            "PhysicalResourceId": physical_id(event),
            "StackId": event.get("StackId"),
            "RequestId": event.get("RequestId"),
            "LogicalResourceId": event.get("LogicalResourceId"),
            "Data": dict(result.data),
        }
    ).encode()
    for _ in range(_TRIES):
        try:
            await asyncio.to_thread(put, event["ResponseURL"], body)
        except Exception:  # noqa: BLE001 - whatever it is, CloudFormation is waiting
            _log.exception("CloudFormation could not be answered")
        else:
            return


def put_by_urllib(url: str, body: bytes) -> None:
    """PUT to a presigned URL, which is signed with an empty content type and must arrive as it is spelled."""
    request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": ""})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
        response.read()
