"""A run that gets one drawn reply after the other; after each one, what must hold is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from stepwell.errors import WireError
from stepwell.wire.checkpoint import decode_checkpoint
from stepwell.wire.reply import decode_reply
from stepwell_orchestrator.documents import (
    entry_document,
    event_document,
    outcome_document,
    pause_document,
    progress_document,
    read_entry,
    read_event,
    read_outcome,
    read_pause,
    read_progress,
    read_work,
    work_document,
)
from stepwell_orchestrator.engine.calls.advance import advance
from stepwell_orchestrator.engine.calls.checkpoint import puts_of
from stepwell_orchestrator.engine.calls.recover import recover
from stepwell_orchestrator.engine.calls.request import call_request
from stepwell_orchestrator.engine.journal.apply import apply
from stepwell_orchestrator.engine.journal.call_reference import CallReference
from stepwell_orchestrator.engine.journal.discovery import owes_discovery
from stepwell_orchestrator.engine.journal.stack import arrange
from stepwell_orchestrator.engine.waits import resume
from stepwell_orchestrator.model.decision import Command, Decision, Emit, EndRun, PutEntry, Send, Watch, Write
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepStatus
from stepwell_orchestrator.views.run_view import trace_rows
from tests.fuzz.generate import Drawn
from tests.orchestrator.engine.builders import FUNCTION, NOW_MS, run, situation

REPLIES: Final = 8
_WAITING: Final = (StepStatus.SLEEPING, StepStatus.WAITING)


class Game:
    """One run, from its first reply to its end or ``REPLIES`` later."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.drawn = Drawn(self.random)
        self.run = run()

    def play(self) -> None:
        """Raises AssertionError, or whatever the engine raises, when something does not hold."""
        for _ in range(REPLIES):
            target = self._target()
            if target is None and not owes_discovery(self._rested(), NOW_MS):
                self._end_a_wait()
                continue
            self._reply(target)
            if self.run.header.outcome is not None:
                return
            self._checkpoint()

    def _target(self) -> str | None:
        """Claim a step that is to be executed, or leave it to a discovery."""
        planned = [
            entry
            for entry in self.run.entries.values()
            if entry.pending and entry.status not in _WAITING and self.random.random() < 0.7
        ]
        if not planned:
            return None
        claimed = replace(planned[0], status=StepStatus.RUNNING, claimed_at_ms=NOW_MS, claim_until_ms=NOW_MS + 9)
        self.run = apply(self.run, [PutEntry(claimed, planned[0])])
        return claimed.step_id

    def _rested(self) -> Run:
        """The run as its driver sees it once a retry is due."""
        progress = replace(arrange(self.run, 1), retry_at_ms=None)
        self.run = replace(self.run, header=replace(self.run.header, progress=progress))
        return self.run

    def _end_a_wait(self) -> None:
        waits = [entry for entry in self.run.entries.values() if entry.status in _WAITING]
        if waits:
            wait = self.random.choice(waits)
            self.run = apply(self.run, [PutEntry(resume.time_is_up(wait, NOW_MS), wait)])

    def _reply(self, target: str | None) -> None:
        before = self._rested()
        call_request(before, FUNCTION, target=target, now_ms=NOW_MS).encode()
        reply = decode_reply(*self.drawn.reply(), NOW_MS)
        at = replace(situation(before, max_attempts=4), target=target)
        decision = advance(at, reply)
        check_writes(before, decision.writes)
        check_commands(decision.commands)
        after = apply(before, decision.writes)
        progress = decision.progress or before.header.progress
        if after.header.outcome is None:
            after = replace(after, header=replace(after.header, progress=progress))
            check_commands(recover(after, NOW_MS))
            check_goes_on(before, after, decision, target)
        trace_rows(after)
        self.run = after

    def _checkpoint(self) -> None:
        try:
            checkpoint = decode_checkpoint(self.drawn.checkpoint(), self.run.header.run_id)
            reference = CallReference(self.run.header.run_id, 1, 1, 0)
            puts = puts_of(checkpoint, reference, self.run.header, {}, offset=0, now_ms=NOW_MS)
        except WireError:
            return
        places = [put.entry.place for put in puts]
        assert len(set(places)) == len(places), "two steps of a checkpoint have one place"
        for put in puts:
            assert read_entry(put.entry.step_id, entry_document(put.entry)) == put.entry


def check_writes(before: Run, writes: Sequence[Write]) -> None:
    """What is written can be written: each step once, under a guard that holds, and it comes back as it was."""
    step_ids = [write.entry.step_id for write in writes if isinstance(write, PutEntry)]
    assert len(step_ids) == len(set(step_ids)), "a step is written twice"
    for write in writes:
        if isinstance(write, PutEntry):
            entry, known = write.entry, before.entries.get(write.entry.step_id)
            assert write.replaced == known, "a guard refuses it"
            assert known is None or not known.memoised, "a guard refuses it"
            assert read_entry(entry.step_id, entry_document(entry)) == entry, "an entry does not come back as it was"
            assert known is None or entry.attempt >= known.attempt, "attempts went down"
        elif isinstance(write, EndRun):
            assert read_outcome(outcome_document(write.outcome)) == write.outcome
        else:
            assert read_progress(progress_document(write.progress)) == write.progress


def check_commands(commands: Sequence[Command]) -> None:
    """What follows can be stored and queued."""
    for command in commands:
        match command:
            case Send(item):
                assert read_work(work_document(item.work)) == item.work
            case Watch(pause):
                assert read_pause(pause.key, pause.shape, pause_document(pause)) == pause
            case Emit(event):
                assert read_event(event.internal_id, event.name, event.received_at_ms, event_document(event)) == event
            case _:
                pass


def check_goes_on(before: Run, after: Run, decision: Decision, target: str | None) -> None:
    """A run that goes on has something that makes it go on, and no reply leaves it as it was for ever."""
    progress = after.header.progress
    pending = any(entry.pending for entry in after.entries.values())
    later = replace(after, header=replace(after.header, progress=arrange(after, 1)))
    owed = owes_discovery(later, NOW_MS) or progress.retry_at_ms is not None
    assert pending or owed, "the run is stuck"
    if target is not None:
        claimed, left = before.entries[target], after.entries[target]
        assert (left.status, left.attempt) != (claimed.status, claimed.attempt), "no attempt was counted"
    elif owed:
        tried = progress.attempt > before.header.progress.attempt
        assert tried or decision.writes, "the same call would be made again, and no attempt was counted"
