"""A journal entry's document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stepwell.wire.encoding import decode, encode
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.documents.members import members_of
from stepwell_orchestrator.model.step import Place, StepEntry, StepStatus


def entry_document(entry: StepEntry) -> bytes:
    """All of an entry but its step id."""
    members = members_of(entry)
    del members["step_id"]
    return encode(members)


def read_entry(step_id: str, document: bytes) -> StepEntry:
    """The entry in a document."""
    return _entry(step_id, decode(document))


def read_entries(rows: Iterable[tuple[str, bytes]]) -> dict[str, StepEntry]:
    """The entries of (step id, document) rows by step id: one parse for a whole run."""
    pairs = list(rows)
    bodies = decode(b"[" + b",".join(document for _, document in pairs) + b"]")
    return {step_id: _entry(step_id, body) for (step_id, _), body in zip(pairs, bodies, strict=True)}


def _entry(step_id: str, body: dict[str, Any]) -> StepEntry:
    body["op"] = Op(body["op"])
    body["status"] = StepStatus(body["status"])
    if "place" in body:
        body["place"] = Place(*body["place"])
    if "arguments" in body:
        body["arguments"] = tuple(body["arguments"])
    if "warnings" in body:
        body["warnings"] = tuple(body["warnings"])
    if "left" in body:
        body["left"] = tuple(body["left"])
    return StepEntry(step_id=step_id, **body)
