"""The document of a debounce."""

from __future__ import annotations

from stepwell.wire.encoding import decode, encode
from stepwell_orchestrator.documents.members import members_of
from stepwell_orchestrator.model.flow import Debounced, DebounceStage


def debounced_document(debounced: Debounced) -> bytes:
    """A debounce. Two that are equal have equal documents."""
    return encode(members_of(debounced))


def read_debounced(document: bytes) -> Debounced:
    """The debounce in a document."""
    body = decode(document)
    return Debounced(**body | {"stage": DebounceStage(body.get("stage", DebounceStage.OPEN))})
