"""Ending a step's wait: by its time, an event, a signal, an invoked run, or a refusal. The first one wins.

Interleavings: whoever ends the wait commits the final entry on the condition that it is not memoised, gives up what
the wait held, then asks to drive. A loser's commit is refused; it repeats the two later parts, in case the winner died
before them. An event received before the timeout wins over it even when it is routed late: the timer looks for one
before it gives up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.engine import resume
from stepwell_orchestrator.engine.telling import step_kind, step_notice
from stepwell_orchestrator.engine.waiting import give_up, pause_of
from stepwell_orchestrator.errors import ConflictError
from stepwell_orchestrator.model.decision import Guard, PutEntry
from stepwell_orchestrator.model.queue_item import (
    Cause,
    ChildEnded,
    EventArrived,
    Refused,
    Settle,
    SignalArrived,
    TimerDue,
)
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.worker.driving import Driver
from stepwell_orchestrator.worker.tools import Tools


@dataclass(frozen=True, slots=True)
class Settler:
    """Ends waits."""

    tools: Tools
    driver: Driver

    async def timer(self, work: TimerDue, deliveries: int) -> int | None:
        """A step's time has come; never before it has."""
        entry = await self.tools.journal.get_entry(work.run_id, work.step_id)
        if entry is None:
            return None
        now_ms = self.tools.clock.now_ms()
        if entry.pending:
            if entry.due_at_ms is not None and entry.due_at_ms > now_ms:
                return entry.due_at_ms
            await self._end(work.run_id, await self._at_its_time(work.run_id, entry))
        return await self._go_on(work.run_id, entry, deliveries)

    async def settle(self, work: Settle, deliveries: int) -> int | None:
        """What a step waited for has come."""
        entry = await self.tools.journal.get_entry(work.run_id, work.step_id)
        if entry is None:
            return None
        if entry.pending:
            ended = await self._by(entry, work.cause)
            if ended is not None:
                await self._end(work.run_id, ended)
        return await self._go_on(work.run_id, entry, deliveries)

    async def _at_its_time(self, run_id: str, entry: StepEntry) -> StepEntry:
        now_ms = self.tools.clock.now_ms()
        if entry.op is Op.WAIT_FOR_EVENT:
            run = await self.tools.existing(run_id)
            event = await self.tools.dispatcher.find_event(pause_of(run, entry))
            if event is not None:
                return resume.by_event(entry, event, now_ms)
        return resume.time_is_up(entry, now_ms)

    async def _by(self, entry: StepEntry, cause: Cause) -> StepEntry | None:
        """The entry as the cause ends it; None when the cause is gone, so that only its time can end the wait."""
        now_ms = self.tools.clock.now_ms()
        match cause:
            case EventArrived(event_id):
                event = await self.tools.journal.get_event(event_id)
                return None if event is None else resume.by_event(entry, event, now_ms)
            case SignalArrived(signal, data):
                return resume.by_signal(entry, signal, data, now_ms)
            case ChildEnded(run_id):
                child = await self.tools.journal.get_header(run_id)
                outcome = None if child is None else child.outcome
                return None if outcome is None else resume.by_child(entry, outcome, now_ms)
            case Refused(message):
                return resume.by_refusal(entry, message, now_ms)
            case _:
                assert_never(cause)

    async def _end(self, run_id: str, ended: StepEntry) -> None:
        try:
            await self.tools.journal.commit(run_id, [PutEntry(ended, Guard.NOT_MEMOISED)], term=None)
        except ConflictError:
            return
        header = await self.tools.journal.get_header(run_id)
        kind = step_kind(ended)
        if header is not None and kind is not None:
            self.tools.observe(step_notice(header, ended, kind, self.tools.clock.now_ms()))

    async def _go_on(self, run_id: str, entry: StepEntry, deliveries: int) -> int | None:
        if entry.status is not StepStatus.SLEEPING:
            await self.tools.dispatch(give_up(run_id, entry))
        return await self.driver.drive(run_id, deliveries)
