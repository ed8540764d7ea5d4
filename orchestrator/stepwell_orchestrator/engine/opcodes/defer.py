"""``DeferAdd``, ``DeferAbort``: another function starts when the run ends, unless that is taken back (protocol 6.12).

They ride along with other opcodes, in replies and in checkpoints. The first ``DeferAdd`` of an id stands, whatever a
later attempt of the function sends; what was aborted stays so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from stepwell.errors import EventError, WireError
from stepwell.wire.encoding import encode
from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import put
from stepwell_orchestrator.engine.runs.deferred import entry_id
from stepwell_orchestrator.model.decision import PutEntry
from stepwell_orchestrator.model.sessions import kept_meta
from stepwell_orchestrator.model.step import StepEntry, StepStatus


def deferrals(situation: Situation, opcodes: Iterable[Opcode]) -> tuple[PutEntry, ...]:
    """The guarded writes of what opcodes defer and abort, in order, one for each function. Other opcodes add nothing.

    Raises WireError for a deferral that cannot be carried out.
    """
    changed: dict[str, StepEntry] = {}
    for opcode in opcodes:
        if opcode.op is Op.DEFER_ADD:
            deferral_id = entry_id(opcode.id)
            if deferral_id not in situation.run.entries and deferral_id not in changed:
                changed[deferral_id] = _added(situation, opcode)
        elif opcode.op is Op.DEFER_ABORT:
            found = _find(situation, changed, aborted_id(opcode))
            if found is not None and found.status is StepStatus.DEFERRED:
                attempt = found.attempt + 1
                aborted = replace(found, status=StepStatus.DROPPED, attempt=attempt, ended_at_ms=situation.now_ms)
                changed[found.step_id] = aborted
    return tuple(put(situation, entry) for entry in changed.values())


def aborted_id(opcode: Opcode) -> str:
    """Under which id the journal has what a ``DeferAbort`` takes back. Raises WireError when it names nothing."""
    hashed_id = opcode.opts.get("target_hashed_id")
    if not isinstance(hashed_id, str) or not hashed_id:
        raise WireError(f'abort of defer "{opcode.title}" names none; it needs target_hashed_id')
    return entry_id(hashed_id)


def _find(situation: Situation, changed: Mapping[str, StepEntry], deferral_id: str) -> StepEntry | None:
    return changed.get(deferral_id) or situation.run.entries.get(deferral_id)


def _added(situation: Situation, opcode: Opcode) -> StepEntry:
    opts = _options(opcode)
    return StepEntry(
        step_id=entry_id(opcode.id),
        name=opcode.title,
        op=opcode.op,
        status=StepStatus.DEFERRED,
        queued_at_ms=situation.now_ms,
        opts=opts,
        size_bytes=len(encode(opts)),
    )


def _options(opcode: Opcode) -> Mapping[str, Any]:
    """What the event that starts the function is made of."""
    slug, given, meta = (opcode.opts.get(name) for name in ("fn_slug", "input", "meta"))
    if not isinstance(slug, str) or not slug:
        raise WireError(f'defer "{opcode.title}" names no function; it needs fn_slug')
    if not isinstance(given, Mapping | None):
        raise WireError(f'defer "{opcode.title}": the data of a deferred function must be an object')
    if not isinstance(meta, Mapping | None):
        raise WireError(f'defer "{opcode.title}": meta must be an object')
    try:
        kept = kept_meta(meta or {})
    except EventError as error:
        raise WireError(f'defer "{opcode.title}": {error}') from error
    opts: dict[str, Any] = {"fn_slug": slug, "input": dict(given or {})}
    return opts if kept is None else {**opts, "meta": dict(kept)}
