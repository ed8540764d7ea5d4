"""Metadata from outside: checked, and made the event that keeps it (protocol 7.2).

An event, because stores have those: it keeps its place among the others of its run, lives as long, and is never routed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from stepwell.errors import EncodingError
from stepwell.wire.encoding import encode
from stepwell.wire.ids import derived_ulid, hash_step_id
from stepwell_orchestrator.errors import ApiError
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.metadata import MetadataScope, metadata_event

SHAPE: Final = '{"target": {"run_id": ...}, "metadata": [{"kind": "userland.default", "op": "set", "values": {...}}]}'
KIND_CHARS_MAX: Final = 255

_OPS: Final = ("set", "merge")
_HASH: Final = re.compile(r"[0-9a-f]{40}")


def read_metadata(body: Mapping[str, Any], run_id: str, now_ms: int) -> Event:
    """The event for a request about a run. The same request at the same time is the same event.

    Raises ApiError 400, saying what is wrong.
    """
    target, updates = body.get("target"), body.get("metadata")
    if not isinstance(target, Mapping) or not isinstance(updates, list) or not updates:
        raise ApiError(400, f"the body must be like {SHAPE}")
    if target.get("run_id", run_id) != run_id:
        raise ApiError(400, f"target.run_id is not the run of the path, {run_id}; send each run's metadata to its own")
    data = {
        "scope": _scope(target),
        "step_id": _step_id(target),
        "updates": [_update(number, update) for number, update in enumerate(updates)],
    }
    try:
        digested = encode(data).decode()
    except EncodingError as error:
        raise ApiError(400, f"metadata is {error}; send plain JSON") from error
    internal_id = derived_ulid(now_ms, run_id, digested)
    return Event(internal_id, metadata_event(run_id), internal_id, ts_ms=now_ms, received_at_ms=now_ms, data=data)


def _scope(target: Mapping[str, Any]) -> MetadataScope:
    if target.get("span_id") is not None:
        return "extended_trace"
    if target.get("step_id") is None:
        return "run"
    return "step" if target.get("step_attempt") is None else "step_attempt"


def _step_id(target: Mapping[str, Any]) -> str | None:
    """The hashed id of the step that is meant, by its hash or by its id in the code and its repetition."""
    step_id, index = target.get("step_id"), target.get("step_index") or 0
    if step_id is None:
        return None
    if not isinstance(step_id, str) or not isinstance(index, int) or isinstance(index, bool):
        raise ApiError(400, "target.step_id must be a text, and target.step_index a whole number")
    if _HASH.fullmatch(step_id):
        return step_id
    return hash_step_id(f"{step_id}:{index}" if index else step_id)


def _update(number: int, update: Any) -> dict[str, Any]:
    if not isinstance(update, Mapping):
        raise ApiError(400, f"metadata[{number}] must be an object; the body must be like {SHAPE}")
    kind, op, values = update.get("kind"), update.get("op", "set"), update.get("values")
    if not isinstance(kind, str) or not 0 < len(kind) <= KIND_CHARS_MAX:
        raise ApiError(400, f"metadata[{number}].kind must be a text of 1 to {KIND_CHARS_MAX} characters")
    if op not in _OPS:
        raise ApiError(400, f'metadata[{number}].op must be "set" or "merge", got {str(op)[:40]!r}')
    if not isinstance(values, Mapping):
        raise ApiError(400, f"metadata[{number}].values must be an object")
    return {"kind": kind, "op": op, "values": values}
