"""When a wait gives up."""

from __future__ import annotations

from stepwell.errors import WireError
from stepwell.wire.opcodes import Opcode
from stepwell.wire.reply import failure
from stepwell.wire.times import DAY_MS, parse_when_ms
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.opcodes.change import Change
from stepwell_orchestrator.engine.runs import ending
from stepwell_orchestrator.limits import TIMEOUT_MAX_MS


def expiry_ms(situation: Situation, opcode: Opcode, text: object, default_ms: int | None) -> int | Change:
    """The instant a timeout or duration text names, never before now, or the change that fails the run over it.

    An absent text means the default; None as default makes the text mandatory. An empty text is now.
    """
    if not isinstance(text, str):
        if default_ms is None:
            return refuse(situation, "InvalidTime", f'step "{opcode.title}" names no timeout')
        return situation.now_ms + default_ms
    try:
        at_ms = parse_when_ms(text, situation.now_ms)
    except WireError as error:
        return refuse(situation, "InvalidTime", f'step "{opcode.title}": {error}')
    if at_ms - situation.now_ms > TIMEOUT_MAX_MS:
        limit_days = TIMEOUT_MAX_MS // DAY_MS
        message = f'step "{opcode.title}" goes further than {limit_days} days ahead; wait in a loop instead'
        return refuse(situation, "InngestErrTimeoutTooLong", message)
    return max(at_ms, situation.now_ms)


def refuse(situation: Situation, name: str, message: str) -> Change:
    """The change that fails the run for good."""
    return Change(outcome=ending.failed(failure(name, message, no_retry=True), situation.now_ms))
