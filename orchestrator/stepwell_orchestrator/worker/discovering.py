"""The loop of a driver: call the function while a discovery is owed, commit what it answers, give the run back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from stepwell.wire.reply import Reply
from stepwell.wire.times import SECOND_MS
from stepwell_orchestrator.engine.calls.advance import advance
from stepwell_orchestrator.engine.journal.call_reference import CallReference
from stepwell_orchestrator.engine.journal.changes_during_call import (
    NO_CHANGES,
    ChangesDuringCall,
    changes_during,
    is_void,
    stands_alone,
)
from stepwell_orchestrator.engine.journal.discovery import has_pending, owes_discovery
from stepwell_orchestrator.engine.journal.situation import Situation
from stepwell_orchestrator.engine.journal.stack import arrange
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.errors import ConflictError, LeaseLostError
from stepwell_orchestrator.model.decision import Decision
from stepwell_orchestrator.model.function import ATTEMPTS_DEFAULT
from stepwell_orchestrator.model.notice import Notice, NoticeKind
from stepwell_orchestrator.model.run import Progress, Run
from stepwell_orchestrator.worker.calling import Caller
from stepwell_orchestrator.worker.committing import Committer
from stepwell_orchestrator.worker.held_run import HeldRun
from stepwell_orchestrator.worker.limiting.call_slots import CallSlots
from stepwell_orchestrator.worker.tools import Tools

_SEEN_MS: Final = SECOND_MS
"""How long ago a driver may have looked at the header when it calls."""


@dataclass(frozen=True, slots=True)
class Discoverer:
    """Makes the discoveries of a run whose lease is held."""

    tools: Tools
    caller: Caller
    committer: Committer

    async def drive_until_released(self, held: HeldRun, slots: CallSlots) -> None:
        """Discover until nothing is owed, then give the lease back. Raises LeaseLostError when it was taken away.

        So it is where a limit refuses another call: the run stands in line then and is sent for, also for a retry.
        """
        if held.term == 1 and held.outcome is None:
            self._tell_started(held.run)
        while True:
            found = held.progress
            held = await self.discover_while_owed(held, slots)
            if held.freed:
                return
            if not slots.refused:
                await self._keep_retry(held, found)
            changed = None if held.outcome is not None or held.progress == held.stored else held.progress
            moved = await self.tools.journal.release(held.run_id, held.term, held.run.header.wanted, changed)
            if moved is None:
                return
            held = await self.committer.reload(held)

    async def discover_while_owed(self, held: HeldRun, slots: CallSlots) -> HeldRun:
        """Call, commit and dispatch as long as a discovery is owed, there is time, and its limits let it.

        Raises LeaseLostError.
        """
        while held.outcome is None:
            held = held.with_progress(arrange(held.run, held.term))
            now_ms = self.tools.clock.now_ms()
            if not owes_discovery(held.run, now_ms):
                return held
            if self.tools.is_late(now_ms):
                await self.tools.dispatch([items.hand_over(held.run_id, held.term, now_ms)])
                return held
            if not await slots.enter():
                return held
            progress = held.progress
            try:
                if progress.placed != held.stored.placed:
                    held = await self.committer.store(held, progress)
                held = await self._discover(held)
            except ConflictError:
                owing = held.with_progress(replace(progress, discovered=None))
                held = await self.committer.reload_after_conflict(owing)
        return held

    async def _discover(self, held: HeldRun) -> HeldRun:
        """Make one discovery call, from the journal as carried to the journal as committed.

        Raises ConflictError when the reply to a call with pending steps was refused, LeaseLostError.
        """
        if not self._was_seen(held) and not await self._is_current(held):
            return await self.committer.reload(held)
        sent, call = held.run, held.calls + 1
        held = replace(held, calls=call, seen_at_ms=None)
        called_at_ms = self.tools.clock.now_ms()
        reply = await self.caller.discover(sent, held.function, call)
        if has_pending(sent):
            return await self.committer.commit(held, self._decide(held, reply, called_at_ms, NO_CHANGES))
        return await self._apply(held, sent, reply, called_at_ms)

    async def _apply(self, held: HeldRun, sent: Run, reply: Reply, called_at_ms: int) -> HeldRun:
        """Apply the reply to a call that could save steps by itself, to the journal as it is by now."""
        if not stands_alone(reply) and not await self._is_current(held):
            held = await self.committer.reload(held)
        reference = CallReference(held.run_id, held.term, held.calls, sent.header.wanted)
        while held.outcome is None:
            changes = changes_during(sent, held.run, reference)
            if is_void(held.run, changes, reply):
                return held.with_progress(replace(held.progress, discovered=None))
            try:
                return await self.committer.commit(held, self._decide(held, reply, called_at_ms, changes))
            except ConflictError:
                held = await self.committer.reload_after_conflict(held)
        return held

    def _decide(self, held: HeldRun, reply: Reply, called_at_ms: int, changes: ChangesDuringCall) -> Decision:
        situation = Situation(
            run=held.run,
            target=None,
            max_attempts=held.function.max_attempts if held.function else ATTEMPTS_DEFAULT,
            called_at_ms=called_at_ms,
            now_ms=self.tools.clock.now_ms(),
            call=held.calls,
            changes=changes,
            limits=self.tools.limits_of(held.run),
            retries=self.tools.retries,
        )
        return advance(situation, reply)

    def _was_seen(self, held: HeldRun) -> bool:
        """Whether the header was looked at so lately that one more look would tell nothing."""
        return held.seen_at_ms is not None and self.tools.clock.now_ms() - held.seen_at_ms <= _SEEN_MS

    async def _is_current(self, held: HeldRun) -> bool:
        """Whether nothing is known to have happened to the run since its journal was read.

        A cancelled run is not called: no step starts after that (promise 9). Raises LeaseLostError when another driver
        has the run by now: it may have journaled what this one would call for.
        """
        header = await self.tools.journal.get_header(held.run_id)
        assert header is not None, f"run {held.run_id} is being driven and has no header"
        if header.term != held.term:
            raise LeaseLostError(f"run {held.run_id}: drive term {held.term} is over, the run is in term {header.term}")
        return header.outcome is None and header.wanted == held.run.header.wanted

    async def _keep_retry(self, held: HeldRun, found: Progress) -> None:
        """Queue a retry again that was found and, being ahead by this worker's clock, left alone.

        The clock of the worker that set it may be ahead of this one's. Then its queue item has come already, to this
        worker or to one that found the lease taken, and nothing else would look at the run again.
        """
        retry_at_ms = held.progress.retry_at_ms
        if held.outcome is None and retry_at_ms is not None and retry_at_ms == found.retry_at_ms:
            await self.tools.dispatch([items.retry_again(held.run_id, retry_at_ms, held.term)])

    def _tell_started(self, run: Run) -> None:
        header = run.header
        self.tools.observe(
            Notice(
                at_ms=self.tools.clock.now_ms(),
                kind=NoticeKind.RUN_STARTED,
                run_id=header.run_id,
                function_id=header.function_id,
                subject=header.event_name,
            )
        )
