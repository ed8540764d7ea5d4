"""Metadata: what authors note about a run, or about one of its steps (protocol 7.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

MetadataScope = Literal["run", "step", "step_attempt", "extended_trace"]

_EVENT_PREFIX: Final = "inngest/run.metadata/"


def metadata_event(run_id: str) -> str:
    """The name of the events that keep the metadata of a run; no other run has it, and nothing is triggered by it."""
    return f"{_EVENT_PREFIX}{run_id}"


@dataclass(frozen=True, slots=True)
class Metadata:
    """All that was noted of one ``kind`` about a run, or about a step (``step_id``, hashed) or a part of one."""

    scope: MetadataScope
    kind: str
    values: Mapping[str, Any]
    updated_at_ms: int
    step_id: str | None = None
