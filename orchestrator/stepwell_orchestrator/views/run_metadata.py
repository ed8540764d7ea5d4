"""The metadata of a run, from the events that keep it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stepwell.wire.times import format_instant
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.metadata import Metadata


def metadata_of(updates: Iterable[Event]) -> list[Metadata]:
    """What holds after the updates, oldest first: ``set`` replaces the values of a kind, ``merge`` adds to them."""
    held: dict[tuple[str | None, str, str], Metadata] = {}
    for event in updates:
        scope, step_id = event.data["scope"], event.data["step_id"]
        for update in event.data["updates"]:
            kind, values = update["kind"], update["values"]
            known = held.get((step_id, scope, kind))
            if known is not None and update["op"] == "merge":
                values = {**known.values, **values}
            held[step_id, scope, kind] = Metadata(scope, kind, values, event.received_at_ms, step_id)
    return list(held.values())


def metadata_body(metadata: Metadata) -> dict[str, Any]:
    """Metadata as REST shows it."""
    return {
        "scope": metadata.scope,
        "step_id": metadata.step_id,
        "kind": metadata.kind,
        "values": dict(metadata.values),
        "updated_at": format_instant(metadata.updated_at_ms),
    }


def span_metadata(metadata: Iterable[Metadata], step_id: str | None) -> list[dict[str, Any]]:
    """What of a run's metadata is about one step, or about the run itself (None), as spans show it."""
    return [
        {
            "scope": one.scope,
            "kind": one.kind,
            "values": dict(one.values),
            "updatedAt": format_instant(one.updated_at_ms),
        }
        for one in metadata
        if one.step_id == step_id
    ]
