"""The reply to a call becomes a decision: the one match over everything a function can answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, assert_never

from stepwell.errors import WireError
from stepwell.wire.headers import REQUEST_VERSION_CURRENT
from stepwell.wire.opcodes import Op, Opcode
from stepwell.wire.reply import Failed, Finished, Instructions, Reply, failure
from stepwell_orchestrator.engine.calls import bounds
from stepwell_orchestrator.engine.calls.warnings import keep
from stepwell_orchestrator.engine.journal.apply import apply
from stepwell_orchestrator.engine.journal.retry import executed
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.journal.stack import stack_of
from stepwell_orchestrator.engine.opcodes.change import NOTHING, Change, dropped, given_up
from stepwell_orchestrator.engine.opcodes.defer import deferrals
from stepwell_orchestrator.engine.opcodes.expiry import refuse
from stepwell_orchestrator.engine.opcodes.gateway import gateway
from stepwell_orchestrator.engine.opcodes.invoke_function import invoke_function
from stepwell_orchestrator.engine.opcodes.sleep import sleep
from stepwell_orchestrator.engine.opcodes.step_error import step_error
from stepwell_orchestrator.engine.opcodes.step_planned import step_planned
from stepwell_orchestrator.engine.opcodes.step_run import step_run
from stepwell_orchestrator.engine.opcodes.wait_for_event import wait_for_event
from stepwell_orchestrator.engine.opcodes.wait_for_signal import wait_for_signal
from stepwell_orchestrator.engine.runs import ending
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.model.decision import Command, Decision, EndRun, PutEntry, PutProgress, Write
from stepwell_orchestrator.model.run import Outcome, Run
from stepwell_orchestrator.model.step import StepStatus

_FINISHED_ELSEWHERE: Final[Mapping[Op, Callable[[Situation, Opcode], Change]]] = {
    Op.STEP_PLANNED: step_planned,
    Op.SLEEP: sleep,
    Op.WAIT_FOR_EVENT: wait_for_event,
    Op.WAIT_FOR_SIGNAL: wait_for_signal,
    Op.INVOKE_FUNCTION: invoke_function,
    Op.AI_GATEWAY: gateway,
    Op.GATEWAY: gateway,
}
"""What a call only reports: something other than the next call finishes it."""


def advance(situation: Situation, reply: Reply) -> Decision:
    """Decide what a reply changes. Never raises for anything a function may answer."""
    decision = _decide(_learn(situation, reply), reply)
    return keep(situation.run, situation.target, decision, reply.outcome.warnings)


def _decide(situation: Situation, reply: Reply) -> Decision:
    match reply.outcome:
        case Finished(result):
            return _returned(situation, result)
        case Failed() as failed:
            return _call_failed(situation, failed)
        case Instructions() as instructions:
            return _instructed(situation, instructions)
        case _:
            assert_never(reply.outcome)


def _learn(situation: Situation, reply: Reply) -> Situation:
    """Take from a reply what it tells of the function: its version, and how far the lines it logs have come."""
    before = situation.progress
    version = before.request_version if reply.request_version is None else reply.request_version
    said = None if isinstance(reply.outcome, Finished) or situation.target is not None else reply.outcome.said
    progress = replace(before, request_version=version, said=max(before.said, said or before.said))
    if progress == before:
        return situation
    header = replace(situation.run.header, progress=progress)
    return replace(situation, run=replace(situation.run, header=header))


def _returned(situation: Situation, result: object) -> Decision:
    """A return ends the run, whatever is pending. An answer to a targeted call only says that the step is gone.

    Steps that the call saved by itself are counted now.
    """
    if situation.target is not None:
        return _drop(situation)
    return _end(situation, bounds.broken(situation, ()) or ending.completed(result, situation.now_ms))


def _end(situation: Situation, outcome: Outcome, writes: tuple[Write, ...] = ()) -> Decision:
    ended = (*writes, EndRun(outcome))
    return Decision(ended, ending.closing_commands(apply(situation.run, ended)), situation.progress)


def _call_failed(situation: Situation, failed: Failed) -> Decision:
    """A function-level failure retries the call that met it, and at last fails the run (protocol 6.2)."""
    if situation.last_attempt(no_retry=failed.no_retry):
        return _end(situation, ending.failed(failed, situation.now_ms))
    retry_at_ms = situation.retry_at_ms(failed.retry_at_ms)
    if situation.target is None:
        decision = _retry_discovery(situation, (), (), retry_at_ms)
        return replace(decision, why=f"{failed.error.name}: {failed.error.message}")
    entry = situation.run.entries[situation.target]
    attempt = entry.attempt + 1
    errored = replace(
        entry,
        status=StepStatus.ERRORED,
        attempt=attempt,
        due_at_ms=retry_at_ms,
        claim_until_ms=None,
        claimed_at_ms=None,
        error=failed.error.memo(),
    )
    command = items.execute(situation.run.header, entry.step_id, attempt, retry_at_ms)
    return Decision((PutEntry(errored, entry),), (command,), situation.progress)


def _retry_discovery(
    situation: Situation, writes: tuple[Write, ...], changes: Sequence[Change], retry_at_ms: int
) -> Decision:
    progress = replace(
        situation.progress,
        attempt=situation.attempt + 1,
        executed=executed(apply(situation.run, writes)),
        retry_at_ms=retry_at_ms,
        discovered=None,
    )
    commands = (*_commands(changes), items.retry(situation.run_id, retry_at_ms))
    return Decision((*writes, PutProgress(progress)), commands, progress)


def _instructed(situation: Situation, instructions: Instructions) -> Decision:
    overflow = bounds.too_many_opcodes(situation, instructions)
    if overflow is not None:
        return _end(situation, overflow)
    changes = _changes(situation, instructions)
    deferring = _deferring(situation, instructions)
    changes += deferring
    if situation.target is None:
        changes += _give_up(situation, instructions)
    puts = tuple(change.put for change in changes if change.put is not None)
    outcome = next((change.outcome for change in (*deferring, *changes) if change.outcome is not None), None)
    outcome = bounds.broken(situation, puts) or outcome
    if outcome is not None:
        return _end(situation, outcome, puts if outcome.error is None else _bearable(situation, deferring))
    if situation.target is not None:
        return _executed(situation, instructions, changes, puts)
    return _discovered(situation, instructions, changes, puts)


def _executed(
    situation: Situation, instructions: Instructions, changes: Sequence[Change], puts: tuple[PutEntry, ...]
) -> Decision:
    """Apply the reply to a targeted call; without the target's own opcode the step is gone (protocol 5.7)."""
    if all(opcode.id != situation.target for opcode in instructions.opcodes):
        gone = _drop(situation)
        return Decision((*puts, *gone.writes), _commands(changes), situation.progress)
    if any(put.entry.step_id == situation.target for put in puts):
        return Decision(puts, _commands(changes), situation.progress)
    return _idle(situation, changes, puts)


def _idle(situation: Situation, changes: Sequence[Change], puts: tuple[PutEntry, ...]) -> Decision:
    """A targeted call that names its step and does nothing about it is a failed attempt; what else it did counts."""
    assert situation.target is not None
    name = situation.run.entries[situation.target].name
    failed = _call_failed(
        situation,
        failure("no_progress", f'the function was asked to execute step "{name}" and answered without doing so'),
    )
    if any(isinstance(write, EndRun) for write in failed.writes):
        return failed
    return replace(failed, writes=(*puts, *failed.writes), commands=(*_commands(changes), *failed.commands))


def _discovered(
    situation: Situation, instructions: Instructions, changes: Sequence[Change], puts: tuple[PutEntry, ...]
) -> Decision:
    retry_at_ms = next((change.retry_at_ms for change in changes if change.retry_at_ms is not None), None)
    if retry_at_ms is not None:
        return _retry_discovery(situation, puts, changes, retry_at_ms)
    after = apply(situation.run, puts)
    pending = any(entry.pending for entry in after.entries.values())
    moved = bool(puts or situation.changes.own or situation.changes.others)
    again = moved and (
        not pending or bool(situation.changes.others) or _goes_on(situation, instructions, changes, after)
    )
    if not again and not pending:
        stuck = "the function reported no step that could go on; every step it names has finished already"
        return _call_failed(situation, failure("no_progress", stuck))
    progress = replace(
        situation.progress,
        discovered=None if again else len(stack_of(after)),
        attempt=0,
        retry_at_ms=None,
        unreported=_unreported(situation, instructions, after, again=again),
    )
    writes: tuple[Write, ...] = puts
    if situation.progress.attempt > 0:
        writes = (*puts, PutProgress(progress))
    return Decision(writes, _commands(changes), progress)


def _goes_on(situation: Situation, instructions: Instructions, changes: Sequence[Change], after: Run) -> bool:
    """Whether the function can go on at once by what it executed or asked for.

    Not when it went on in this very call: what it reports after the last step that ended is what it waits for then.
    """
    ended = [number for number, change in enumerate(changes) if change.discover]
    if not ended:
        return False
    if situation.progress.request_version < REQUEST_VERSION_CURRENT:
        return True
    opcodes = instructions.opcodes
    asked = any(opcode.op is Op.DISCOVERY_REQUEST for opcode in opcodes)
    return asked or not any(_is_pending(after, opcode.id) for opcode in opcodes[ended[-1] + 1 :])


def _is_pending(run: Run, step_id: str) -> bool:
    entry = run.entries.get(step_id)
    return entry is not None and entry.pending


def _unreported(situation: Situation, instructions: Instructions, after: Run, *, again: bool) -> tuple[str, ...]:
    """The pending steps that the function did not ask for this time: it has got past them without waiting.

    A call that is followed by another one at once has not got as far as to tell.
    """
    reported = {opcode.id for opcode in instructions.opcodes}
    pending = {entry.step_id for entry in after.entries.values() if entry.pending}
    unreported = pending & set(situation.progress.unreported) if again else pending
    return tuple(sorted(unreported - reported))


def _changes(situation: Situation, instructions: Instructions) -> list[Change]:
    """What each opcode changes. Of those of one step, only the first that changes its entry counts."""
    changes: list[Change] = []
    changed: dict[str, PutEntry] = {}
    for opcode in instructions.opcodes:
        offset = sum(1 for put in changed.values() if put.entry.memoised)
        change = NOTHING if opcode.id in changed else _change(situation, opcode, offset, instructions)
        if change.put is not None:
            changed[opcode.id] = change.put
        changes.append(change)
    return changes


def _change(situation: Situation, opcode: Opcode, offset: int, instructions: Instructions) -> Change:
    match opcode.op:
        case Op.NONE:
            return NOTHING
        case Op.STEP | Op.STEP_RUN:
            return step_run(situation, opcode, offset)
        case Op.STEP_ERROR | Op.STEP_FAILED:
            return step_error(
                situation,
                opcode,
                offset,
                no_retry=instructions.no_retry,
                asked_at_ms=instructions.retry_at_ms,
            )
        case (
            Op.STEP_PLANNED
            | Op.SLEEP
            | Op.WAIT_FOR_EVENT
            | Op.WAIT_FOR_SIGNAL
            | Op.INVOKE_FUNCTION
            | Op.AI_GATEWAY
            | Op.GATEWAY
        ):
            return _FINISHED_ELSEWHERE[opcode.op](situation, opcode)
        case Op.RUN_COMPLETE:
            return _run_complete(situation, opcode)
        case Op.DISCOVERY_REQUEST:
            return Change(discover=True)
        case Op.DEFER_ADD | Op.DEFER_ABORT:
            return NOTHING
        case Op.SYNC_RUN_COMPLETE:
            message = f'step "{opcode.title}" needs {opcode.op.value}, which this version does not carry out'
            return Change(outcome=ending.failed(failure("unsupported_opcode", message), situation.now_ms))
        case _:
            assert_never(opcode.op)


def _deferring(situation: Situation, instructions: Instructions) -> list[Change]:
    """What the call deferred and aborted; it fails the run when that cannot be carried out."""
    try:
        return [Change(put=put) for put in deferrals(situation, instructions.opcodes)]
    except WireError as error:
        return [refuse(situation, "InvalidDefer", str(error))]


def _bearable(situation: Situation, deferring: Sequence[Change]) -> tuple[PutEntry, ...]:
    """What a run still defers with the reply that fails it, unless that alone would break a limit."""
    puts = tuple(change.put for change in deferring if change.put is not None)
    return () if bounds.broken(situation, puts) else puts


def _run_complete(situation: Situation, opcode: Opcode) -> Change:
    """The function's end, which an answer to a targeted call does not tell."""
    if situation.target is not None:
        return NOTHING
    return Change(outcome=ending.completed(opcode.data, situation.now_ms))


def _drop(situation: Situation) -> Decision:
    """The function no longer has the targeted step."""
    assert situation.target is not None
    entry = situation.run.entries[situation.target]
    return Decision((dropped(entry, situation.now_ms),), (), situation.progress)


def _give_up(situation: Situation, instructions: Instructions) -> list[Change]:
    """Drop what the function waits for no longer.

    A body that is executing is let finish, since nothing can stop it; its entry is not its worker's any more, so that
    its result is dropped and no further attempt begins. It may end before that is written:

    =================================  =====================================  ========================================
    what comes first                   what the journal shows                 what follows
    =================================  =====================================  ========================================
    the drop, then the body ends       dropped, at the next attempt           its commit is refused: its claim is over
      test_given_up_bodies.py::test_what_a_body_gives_after_it_was_given_up_is_dropped
    the drop, then the body fails      the same                               the same: no retry is queued
      test_given_up_bodies.py::test_a_body_that_fails_after_it_was_given_up_is_not_tried_again
    the body ends, then the drop       its result                             the drop is refused, and decided again:
                                                                              the step has finished
      test_given_up_bodies.py::test_a_body_that_ends_before_it_is_given_up_has_finished
    the body fails, then the drop      errored, at the next attempt           the drop is refused, and decided again:
                                                                              no attempt begins, its item finds none
      test_given_up_bodies.py::test_a_body_that_failed_before_it_is_given_up_is_not_tried_again
    a claim, then the drop             claimed                                the drop is refused, and decided again
      test_given_up_bodies.py::test_a_body_that_begins_while_it_is_given_up_is_dropped
    the drop, then its worker dies     dropped                                its item's redelivery finds no attempt
      test_given_up_bodies.py::test_a_worker_that_dies_after_the_drop_is_not_replaced
    =================================  =====================================  ========================================
    """
    reported = {opcode.id for opcode in instructions.opcodes}
    step_ids = [step_id for step_id in dict.fromkeys(instructions.given_up) if step_id not in reported]
    entries = [situation.run.entries[step_id] for step_id in step_ids if step_id in situation.run.entries]
    return [
        Change(put=dropped(entry, situation.now_ms), commands=given_up(situation.run_id, entry))
        for entry in entries
        if entry.pending
    ]


def _commands(changes: Sequence[Change]) -> tuple[Command, ...]:
    return tuple(command for change in changes for command in change.commands)
