"""``AIGateway`` and ``Gateway``: the orchestrator makes an HTTP request, and the reply is the step's result.

What such an opcode carries may be secret: a key, headers, a body. None of it goes into the journal. The step is planned
like one with a body, and the worker that executes it asks the function for its opcode again (protocol 9.4, 9.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import Change
from stepwell_orchestrator.engine.opcodes.step_planned import step_planned
from stepwell_orchestrator.urls import shown_url

GATEWAYS: Final = frozenset({Op.AI_GATEWAY, Op.GATEWAY})
METHOD_DEFAULT: Final = "POST"
"""What a Gateway that names no method means (protocol 5.4)."""

_CHARS_MAX: Final = 2_000


def gateway(situation: Situation, opcode: Opcode) -> Change:
    """Queue the request; reporting it again changes nothing."""
    change = step_planned(situation, opcode)
    if change.put is None:
        return change
    return replace(change, put=replace(change.put, entry=replace(change.put.entry, opts=_shown(opcode))))


def _shown(opcode: Opcode) -> Mapping[str, Any]:
    """What people are told of a request: what kind it is, and where it goes."""
    opts, body = opcode.opts, opcode.opts.get("body")
    if opcode.op is Op.GATEWAY:
        told = {"type": "step.fetch", "method": opts.get("method") or METHOD_DEFAULT}
    else:
        model = body.get("model") if isinstance(body, Mapping) else None
        told = {"type": "step.ai.infer", "format": opts.get("format"), "model": model}
    told["url"] = shown_url(opts.get("url"))
    return {key: value[:_CHARS_MAX] for key, value in told.items() if isinstance(value, str)}
