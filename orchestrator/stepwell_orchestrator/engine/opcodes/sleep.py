"""``Sleep``: the run goes on at a later time."""

from __future__ import annotations

from dataclasses import replace

from stepwell.errors import WireError
from stepwell.wire.opcodes import Opcode
from stepwell.wire.reply import failure
from stepwell.wire.times import DAY_MS, parse_when_ms
from stepwell_orchestrator.engine import ending, items
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, entry_of, put
from stepwell_orchestrator.engine.situation import Situation
from stepwell_orchestrator.limits import TIMEOUT_MAX_MS
from stepwell_orchestrator.model.step import StepStatus


def sleep(situation: Situation, opcode: Opcode) -> Change:
    """Set the timer. The first report of a sleep fixes its end; a repeat changes nothing (protocol 6.5)."""
    if opcode.id in situation.run.entries:
        return NOTHING
    try:
        until_ms = parse_when_ms(_when(opcode), situation.now_ms)
    except WireError as error:
        return _refuse(situation, "InvalidSleep", f'step "{opcode.title}": {error}')
    if until_ms - situation.now_ms > TIMEOUT_MAX_MS:
        limit_days = TIMEOUT_MAX_MS // DAY_MS
        message = f'step "{opcode.title}" sleeps longer than {limit_days} days; sleep in a loop instead'
        return _refuse(situation, "InngestErrTimeoutTooLong", message)
    entry = replace(
        entry_of(situation, opcode, StepStatus.SLEEPING),
        started_at_ms=situation.now_ms,
        due_at_ms=max(until_ms, situation.now_ms),
    )
    assert entry.due_at_ms is not None
    return Change(put=put(situation, entry), command=items.timer(situation.run_id, opcode.id, entry.due_at_ms))


def _when(opcode: Opcode) -> str:
    """The duration or instant: an option, or the name where older SDKs put it (protocol 5.4)."""
    duration = opcode.opts.get("duration")
    return duration if isinstance(duration, str) else opcode.name


def _refuse(situation: Situation, name: str, message: str) -> Change:
    return Change(outcome=ending.failed(failure(name, message, no_retry=True), situation.now_ms))
