"""``WaitForEvent``: the run goes on when an event comes that an expression accepts (protocol 6.6)."""

from __future__ import annotations

from typing import Final

from stepwell.errors import DefinitionError, WireError
from stepwell.wire.encoding import encode
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.times import parse_duration_ms
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, stands, waiting
from stepwell_orchestrator.engine.opcodes.expiry import expiry_ms, refuse
from stepwell_orchestrator.engine.waits.matching import file_under

_SHOWN_CHARS: Final = 60


def wait_for_event(situation: Situation, opcode: Opcode) -> Change:
    """Wait. The first report fixes what for and until when; a repeat changes nothing."""
    if stands(situation, opcode):
        return NOTHING
    expires_at_ms = expiry_ms(situation, opcode, opcode.opts.get("timeout"), None)
    if isinstance(expires_at_ms, Change):
        return expires_at_ms
    wrong = _no_text(opcode)
    if wrong is not None:
        return refuse(situation, "InvalidWait", f'step "{opcode.title}": {wrong}')
    event_name, expression = opcode.opts.get("event") or opcode.name, opcode.opts.get("if")
    try:
        shape, index = file_under(expression, situation.run.events[0].wire())
        since_ms = _since_ms(situation, opcode)
    except (DefinitionError, WireError) as error:
        return refuse(situation, "InvalidExpression", f'step "{opcode.title}": {error}')
    opts = {
        "event": event_name,
        "if": expression,
        "shape": shape,
        "index": index,
        "since_ms": since_ms,
        "excluded": _used_up(situation, since_ms),
    }
    return waiting(situation, opcode, expires_at_ms, opts)


def _no_text(opcode: Opcode) -> str | None:
    """Returns what is wrong with the option that is no text, though it must be one, or None."""
    for option, noun in (("event", "event to wait for"), ("if", "condition"), ("lookback", "lookback")):
        value = opcode.opts.get(option)
        if value is not None and not isinstance(value, str):
            return f"the {noun} must be a text, and is {encode(value).decode()[:_SHOWN_CHARS]}"
    return None if opcode.opts.get("event") or opcode.name else "it names no event to wait for"


def _since_ms(situation: Situation, opcode: Opcode) -> int:
    """From when on events count: from the call that reported the wait, or from as far back as it looks."""
    lookback = opcode.opts.get("lookback")
    if not isinstance(lookback, str):
        return situation.called_at_ms
    if lookback == "run":
        return situation.run.header.created_at_ms
    return min(situation.called_at_ms, situation.now_ms - parse_duration_ms(lookback))


def _used_up(situation: Situation, since_ms: int) -> list[str]:
    """Events that earlier waits of this run took, and its triggers: an event resumes a run's successive waits once."""
    taken = [
        entry.opts["event_id"]
        for entry in situation.run.entries.values()
        if entry.op is Op.WAIT_FOR_EVENT and entry.memoised and entry.opts.get("received_at_ms", -1) >= since_ms
    ]
    return [*situation.run.header.event_ids, *taken]
