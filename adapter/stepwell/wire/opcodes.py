"""Opcodes: what a function's reply asks the orchestrator to do (protocol 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from stepwell.errors import WireError
from stepwell.wire.errors import ErrorBody, decode_error
from stepwell.wire.lenient import text_or_empty


class Op(StrEnum):
    """The opcode names as they are spelled on the wire."""

    NONE = "None"
    STEP = "Step"
    STEP_RUN = "StepRun"
    STEP_ERROR = "StepError"
    STEP_FAILED = "StepFailed"
    STEP_PLANNED = "StepPlanned"
    SLEEP = "Sleep"
    WAIT_FOR_EVENT = "WaitForEvent"
    INVOKE_FUNCTION = "InvokeFunction"
    AI_GATEWAY = "AIGateway"
    GATEWAY = "Gateway"
    WAIT_FOR_SIGNAL = "WaitForSignal"
    RUN_COMPLETE = "RunComplete"
    SYNC_RUN_COMPLETE = "SyncRunComplete"
    DISCOVERY_REQUEST = "DiscoveryRequest"
    DEFER_ADD = "DeferAdd"
    DEFER_ABORT = "DeferAbort"


ParallelMode = Literal["race", "wait"]

_BY_LOWER_NAME = {op.value.lower(): op for op in Op}


@dataclass(frozen=True, slots=True)
class Opcode:
    """One instruction. ``id`` is the hashed step id; times are epoch nanoseconds and a duration in nanoseconds."""

    op: Op
    id: str
    name: str = ""
    display_name: str = ""
    opts: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None
    error: ErrorBody | None = None
    user_id: str | None = None
    user_index: int = 0
    started_ns: int | None = None
    duration_ns: int | None = None

    @property
    def title(self) -> str:
        """The name shown to people: the display name, else the name, else the id."""
        return self.display_name or self.name or self.id

    @property
    def parallel_mode(self) -> ParallelMode | None:
        """How the function waits for this step, when the SDK said so (protocol 5.6)."""
        mode = self.opts.get("parallelMode")
        return mode if mode in ("race", "wait") else None

    def encode(self) -> dict[str, Any]:
        """The wire object."""
        body: dict[str, Any] = {
            "op": self.op.value,
            "id": self.id,
            "name": self.name,
            "displayName": self.display_name or self.name,
            "opts": dict(self.opts),
        }
        if self.user_id is not None:
            body["userland"] = {"id": self.user_id} | ({"index": self.user_index} if self.user_index else {})
        if self.error is not None:
            body["error"] = self.error.encode()
        else:
            body["data"] = self.data
        if self.started_ns is not None and self.duration_ns is not None:
            body["timing"] = {"a": self.started_ns, "b": self.duration_ns}
        return body


def decode_opcodes(raw: Any) -> tuple[Opcode, ...]:
    """The opcodes of a 206 body: a list, or a single object. Raises WireError naming the offending member."""
    items = [raw] if isinstance(raw, Mapping) else raw
    if not isinstance(items, list):
        raise WireError(f"a 206 body must be a list of opcodes, got {type(raw).__name__}")
    return tuple(_decode_opcode(item) for item in items)


def _decode_opcode(raw: Any) -> Opcode:
    if not isinstance(raw, Mapping):
        raise WireError(f"an opcode must be an object, got {type(raw).__name__}")
    op = _BY_LOWER_NAME.get(str(raw.get("op", "")).lower())
    if op is None:
        raise WireError(f"unknown opcode {raw.get('op')!r}")
    step_id = raw.get("id") or ""
    if not isinstance(step_id, str) or (not step_id and op is not Op.NONE):
        raise WireError(f"opcode {op.value} has no id")
    userland, timing, opts = (_object(raw.get(key)) for key in ("userland", "timing", "opts"))
    error = raw.get("error")
    if error is None and op in (Op.STEP_ERROR, Op.STEP_FAILED):
        raise WireError(f"opcode {op.value} {step_id} has no error")
    return Opcode(
        op=op,
        id=step_id,
        name=text_or_empty(raw.get("name")),
        display_name=text_or_empty(raw.get("displayName")),
        opts=opts,
        data=raw.get("data"),
        error=None if error is None else decode_error(error),
        user_id=text_or_empty(userland.get("id")) or None,
        user_index=_whole(userland.get("index")) or 0,
        started_ns=_whole(timing.get("a")),
        duration_ns=_whole(timing.get("b")),
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
