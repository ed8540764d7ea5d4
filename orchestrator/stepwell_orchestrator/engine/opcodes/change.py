"""What one opcode adds to a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stepwell.wire.encoding import encode
from stepwell.wire.headers import REQUEST_VERSION_CURRENT
from stepwell.wire.opcodes import Opcode
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.waits.waiting import take
from stepwell_orchestrator.model.decision import Command, Guard, PutEntry
from stepwell_orchestrator.model.run import Outcome
from stepwell_orchestrator.model.step import StepEntry, StepStatus


@dataclass(frozen=True, slots=True)
class Change:
    """An entry to write, commands to follow it, whether a discovery is owed at once, a retry, or the run's end.

    ``retry_at_ms`` is when the discovery that carried the opcode is to be tried again.
    """

    put: PutEntry | None = None
    commands: tuple[Command, ...] = ()
    discover: bool = False
    retry_at_ms: int | None = None
    outcome: Outcome | None = None


NOTHING = Change()


def put(situation: Situation, entry: StepEntry) -> PutEntry:
    """The guarded write of an entry: it must still be as this call found it, absent or not memoised."""
    guard = Guard.NOT_MEMOISED if entry.step_id in situation.run.entries else Guard.ABSENT
    return PutEntry(entry, guard)


def entry_of(situation: Situation, opcode: Opcode, status: StepStatus) -> StepEntry:
    """The step's entry with a new status; what an earlier report said of it is kept."""
    known = situation.run.entries.get(opcode.id)
    race = opcode.parallel_mode == "race" or situation.progress.request_version < REQUEST_VERSION_CURRENT
    if known is not None:
        return replace(known, status=status, race=known.race or race)
    return StepEntry(
        step_id=opcode.id,
        name=opcode.title,
        op=opcode.op,
        status=status,
        queued_at_ms=situation.now_ms,
        race=race,
        opts={key: value for key, value in opcode.opts.items() if key == "type"},
    )


def finished(situation: Situation, opcode: Opcode, memo: object, *, failed: bool, offset: int) -> StepEntry:
    """The memoised entry of a step that ended in this call."""
    entry = entry_of(situation, opcode, StepStatus.FAILED if failed else StepStatus.COMPLETED)
    started_at_ms = _started_at_ms(situation, opcode, entry)
    return replace(
        entry,
        memo=memo,
        queued_at_ms=min(entry.queued_at_ms, started_at_ms),
        started_at_ms=started_at_ms,
        ended_at_ms=situation.now_ms,
        due_at_ms=None,
        claim_until_ms=None,
        claimed_at_ms=None,
        arguments=None,
        place=situation.place(offset),
        size_bytes=len(encode(memo)),
    )


def waiting(situation: Situation, opcode: Opcode, expires_at_ms: int, opts: Mapping[str, Any]) -> Change:
    """A step that an item of its own will end: its entry, and the commands that make it wakeable."""
    entry = replace(
        entry_of(situation, opcode, StepStatus.WAITING),
        started_at_ms=situation.now_ms,
        due_at_ms=expires_at_ms,
        opts=opts,
        size_bytes=len(encode(opts)),
    )
    return Change(put=put(situation, entry), commands=take(situation.run, entry))


def _started_at_ms(situation: Situation, opcode: Opcode, entry: StepEntry) -> int:
    if entry.started_at_ms is not None:
        return entry.started_at_ms
    if opcode.started_ns is None:
        return situation.called_at_ms
    return min(max(opcode.started_ns // 1_000_000, situation.called_at_ms), situation.now_ms)
