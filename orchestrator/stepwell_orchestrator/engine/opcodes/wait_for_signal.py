"""``WaitForSignal``: the run goes on when somebody sends the signal by its name (protocol 6.9)."""

from __future__ import annotations

from stepwell.wire.opcodes import Opcode
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, stands, waiting
from stepwell_orchestrator.engine.opcodes.expiry import expiry_ms, refuse
from stepwell_orchestrator.limits import SIGNAL_NAME_CHARS_MAX, SIGNAL_TIMEOUT_MS


def wait_for_signal(situation: Situation, opcode: Opcode) -> Change:
    """Wait. The first report fixes the signal and the end; a repeat changes nothing."""
    if stands(situation, opcode):
        return NOTHING
    expires_at_ms = expiry_ms(situation, opcode, opcode.opts.get("timeout"), SIGNAL_TIMEOUT_MS)
    if isinstance(expires_at_ms, Change):
        return expires_at_ms
    signal = opcode.opts.get("signal") or opcode.name
    if not isinstance(signal, str) or not 0 < len(signal) <= SIGNAL_NAME_CHARS_MAX:
        message = f'step "{opcode.title}": a signal name has 1 to {SIGNAL_NAME_CHARS_MAX} characters'
        return refuse(situation, "InvalidSignal", message)
    conflict = opcode.opts.get("conflict") or opcode.opts.get("on_conflict") or "fail"
    return waiting(situation, opcode, expires_at_ms, {"signal": signal, "conflict": conflict})
