"""A pause's document."""

from __future__ import annotations

from stepwell.wire.encoding import decode, encode
from stepwell_orchestrator.documents.members import members_of
from stepwell_orchestrator.model.pause import Pause, PauseKey, PauseKind


def pause_document(pause: Pause) -> bytes:
    """All of a pause but its key and shape."""
    members = members_of(pause)
    del members["key"], members["shape"]
    return encode(members)


def read_pause(key: PauseKey, shape: str, document: bytes) -> Pause:
    """The pause in a document, with what is kept beside it."""
    body = decode(document)
    body["kind"] = PauseKind(body["kind"])
    body["excluded"] = tuple(body.get("excluded", ()))
    return Pause(key=key, shape=shape, **body)
