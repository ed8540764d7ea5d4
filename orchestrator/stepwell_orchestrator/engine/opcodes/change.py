"""What one opcode adds to a decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stepwell.wire.encoding import encode
from stepwell.wire.headers import REQUEST_VERSION_CURRENT
from stepwell.wire.opcodes import Op, Opcode
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.waits.waiting import give_up, left_by, take
from stepwell_orchestrator.model.decision import Command, PutEntry
from stepwell_orchestrator.model.run import Outcome
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.model.step_kind import StepKind, kind_of


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
    """The guarded write of an entry: the one it replaces must still be as this call found it, or absent."""
    return PutEntry(entry, situation.run.entries.get(entry.step_id))


def stands(situation: Situation, opcode: Opcode) -> bool:
    """Whether the journal has the step already, so that reporting it again changes nothing.

    An entry of another kind was made by other code. It stands when it is memoised, and while another call executes its
    body, whose result is kept; any other gives way.
    """
    known = situation.run.entries.get(opcode.id)
    if known is None or known.memoised:
        return known is not None
    executing = known.status is StepStatus.RUNNING and situation.target != known.step_id
    return executing or (known.pending and _is_of_kind(situation, known, opcode))


def entry_of(situation: Situation, opcode: Opcode, status: StepStatus) -> StepEntry:
    """The step's entry with a new status.

    What an earlier report said of it is kept, unless the step was dropped or was of another kind: then it begins anew
    with all its retries, under an attempt number that keeps what is still queued for the old one apart.
    """
    known = situation.run.entries.get(opcode.id)
    race = opcode.parallel_mode == "race" or situation.progress.request_version < REQUEST_VERSION_CURRENT
    if known is not None and known.status is not StepStatus.DROPPED and _is_of_kind(situation, known, opcode):
        return replace(known, status=status, race=known.race or race)
    attempt = 0 if known is None else known.attempt + (known.status is not StepStatus.DROPPED)
    return StepEntry(
        step_id=opcode.id,
        name=opcode.title,
        op=opcode.op,
        status=status,
        queued_at_ms=situation.now_ms,
        race=race,
        attempt=attempt,
        first_attempt=attempt,
        warnings=() if known is None else known.warnings,
        opts={key: value for key, value in opcode.opts.items() if key == "type"},
        left=() if known is None else left_by(known),
    )


def letting_go(situation: Situation, opcode: Opcode) -> tuple[Command, ...]:
    """The commands by which an entry of another kind gives way to the step as it is reported now."""
    known = situation.run.entries.get(opcode.id)
    return () if known is None or _is_of_kind(situation, known, opcode) else given_up(situation.run_id, known)


def _is_of_kind(situation: Situation, known: StepEntry, opcode: Opcode) -> bool:
    """Whether an entry is of the kind that is reported. What ends a request of the engine's is reported like a run."""
    kind, reported = kind_of(known.op), kind_of(opcode.op)
    requested = situation.target == known.step_id and kind in (StepKind.INFER, StepKind.FETCH)
    return kind is reported or (requested and reported is StepKind.RUN and opcode.op is not Op.STEP_PLANNED)


def dropped(entry: StepEntry, now_ms: int) -> PutEntry:
    """The entry of a step that the function no longer has, or no longer waits for.

    The next attempt number keeps a later plan of the step apart from this one.
    """
    changed = replace(
        entry,
        status=StepStatus.DROPPED,
        attempt=entry.attempt + 1,
        due_at_ms=None,
        claim_until_ms=None,
        claimed_at_ms=None,
        ended_at_ms=now_ms,
    )
    return PutEntry(changed, entry)


def given_up(run_id: str, entry: StepEntry) -> tuple[Command, ...]:
    """The commands that follow when a step is dropped: what it waited with is let go."""
    return give_up(run_id, entry) if entry.status is StepStatus.WAITING else ()


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
    return Change(put=put(situation, entry), commands=(*letting_go(situation, opcode), *take(situation.run, entry)))


def _started_at_ms(situation: Situation, opcode: Opcode, entry: StepEntry) -> int:
    if entry.started_at_ms is not None:
        return entry.started_at_ms
    if opcode.started_ns is None:
        return situation.called_at_ms
    return min(max(opcode.started_ns // 1_000_000, situation.called_at_ms), situation.now_ms)
