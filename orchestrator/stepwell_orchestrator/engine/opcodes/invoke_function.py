"""``InvokeFunction``: another function runs, and its result is this step's (protocol 6.8).

An option of our own, ``on_parent_cancel``, says what becomes of that run when this one is cancelled: ``"cancel"``, or
``"abandon"``, as it is without the option.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepwell.errors import EventError
from stepwell.wire.opcodes import Opcode
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, stands, waiting
from stepwell_orchestrator.engine.opcodes.expiry import expiry_ms, refuse
from stepwell_orchestrator.limits import INVOKE_TIMEOUT_MS
from stepwell_orchestrator.model.sessions import kept_meta


def invoke_function(situation: Situation, opcode: Opcode) -> Change:
    """Invoke once; a repeated report changes nothing."""
    if stands(situation, opcode):
        return NOTHING
    expires_at_ms = expiry_ms(situation, opcode, opcode.opts.get("timeout"), INVOKE_TIMEOUT_MS)
    if isinstance(expires_at_ms, Change):
        return expires_at_ms
    function_id, payload = opcode.opts.get("function_id"), opcode.opts.get("payload")
    if not isinstance(function_id, str) or not function_id:
        return refuse(situation, "InvalidInvoke", f'step "{opcode.title}" names no function to invoke')
    wrong = _no_object(payload)
    if wrong is not None:
        return refuse(
            situation, "InvalidInvoke", f'step "{opcode.title}": the {wrong} to invoke with must be an object'
        )
    try:
        meta = kept_meta((payload or {}).get("meta") or {})
    except EventError as error:
        return refuse(situation, "InvalidInvoke", f'step "{opcode.title}": {error}')
    on_parent_cancel = opcode.opts.get("on_parent_cancel")
    if on_parent_cancel not in (None, "cancel", "abandon"):
        message = f'step "{opcode.title}": on_parent_cancel must be "cancel" or "abandon", got {on_parent_cancel!r}'
        return refuse(situation, "InvalidInvoke", message)
    kept = {name: value for name, value in (payload or {}).items() if name != "meta"}
    opts: dict[str, Any] = {"function_id": function_id, "payload": kept | ({"meta": meta} if meta else {})}
    if on_parent_cancel == "cancel":
        opts["on_parent_cancel"] = on_parent_cancel
    return waiting(situation, opcode, expires_at_ms, opts)


def _no_object(payload: Any) -> str | None:
    """Returns what is none of the objects that make up an event, or None."""
    if payload is not None and not isinstance(payload, Mapping):
        return "payload"
    members = {} if payload is None else {name: payload.get(name) for name in ("data", "user", "meta")}
    return next((name for name, value in members.items() if not isinstance(value, Mapping | None)), None)
