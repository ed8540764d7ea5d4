"""An event as the orchestrator keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_INTERNAL_PREFIX: Final = "inngest/"


@dataclass(frozen=True, slots=True)
class Event:
    """One received event. ``internal_id`` is the ULID given at ingest, ``id`` the sender's own (or the same ULID)."""

    internal_id: str
    name: str
    id: str
    ts_ms: int
    received_at_ms: int
    data: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    v: str | None = None
    meta: Mapping[str, Any] | None = None

    @property
    def has_own_id(self) -> bool:
        """Whether the sender chose an idempotency id."""
        return self.id != self.internal_id

    def wire(self) -> dict[str, Any]:
        """The event as functions, memos and expressions see it (protocol 4.2)."""
        body: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "data": dict(self.data),
            "ts": self.ts_ms,
            "user": dict(self.user),
        }
        if self.v is not None:
            body["v"] = self.v
        if self.meta is not None:
            body["meta"] = dict(self.meta)
        return body


def is_internal(event_name: str) -> bool:
    """Whether an event of that name is the engine's own."""
    return event_name.startswith(_INTERNAL_PREFIX)
