"""An event's document."""

from __future__ import annotations

from stepwell.wire.encoding import decode, encode
from stepwell_orchestrator.documents.members import members_of
from stepwell_orchestrator.model.event import Event


def event_document(event: Event) -> bytes:
    """All of an event but its internal id, name and receipt time."""
    members = members_of(event)
    del members["internal_id"], members["name"], members["received_at_ms"]
    if not event.has_own_id:
        del members["id"]
    return encode(members)


def read_event(internal_id: str, name: str, received_at_ms: int, document: bytes) -> Event:
    """The event in a document, with what is kept beside it."""
    return Event(
        internal_id=internal_id, name=name, received_at_ms=received_at_ms, **{"id": internal_id} | decode(document)
    )
