"""Ending a step's wait: by its time, an event, a signal, an invoked run, or a refusal. The first one wins.

Interleavings: whoever ends the wait asks to drive, and as the run's driver commits the final entry with its place, on
the condition that it is not memoised; then it gives up what the wait held. While another one drives it commits the
entry without a place, gives up what the wait held, and asks again: the holder may have loaded the run between the two.
A loser's commit is refused; it repeats what comes after it, in case the winner died before that. An event received
before the timeout wins over it even when it is routed late: the timer looks for one before it gives up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.engine.waits import resume
from stepwell_orchestrator.engine.waits.waiting import give_up, pause_of
from stepwell_orchestrator.model.queue_item import (
    Cause,
    ChildEnded,
    EventArrived,
    Settle,
    SignalArrived,
    TimerDue,
    WaitRefused,
)
from stepwell_orchestrator.model.run import Run
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.worker.committing import Settlement
from stepwell_orchestrator.worker.driving import Driver
from stepwell_orchestrator.worker.tools import Tools

_End = Callable[[Run, StepEntry], Awaitable[StepEntry | None]]
"""A pending step's entry as it ends; None when it does not end by that."""


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
        if entry.pending and entry.due_at_ms is not None and entry.due_at_ms > self.tools.clock.now_ms():
            return entry.due_at_ms
        if not entry.pending:
            await self.tools.dispatch(give_up(work.run_id, entry))
            return await self.driver.drive(work.run_id, deliveries)
        return await self._settle(work.run_id, work.step_id, self._at_its_time, deliveries)

    async def settle(self, work: Settle, deliveries: int) -> int | None:
        """What a step waited for has come."""

        async def end(_run: Run, entry: StepEntry) -> StepEntry | None:
            return await self._by(entry, work.cause)

        return await self._settle(work.run_id, work.step_id, end, deliveries)

    async def _settle(self, run_id: str, step_id: str, end: _End, deliveries: int) -> int | None:
        async def find_settlement(run: Run) -> Settlement:
            entry = run.entries.get(step_id)
            if entry is None:
                return Settlement()
            ended = await end(run, entry) if entry.pending and run.header.outcome is None else None
            return Settlement(ended, give_up(run_id, entry))

        return await self.driver.drive(run_id, deliveries, find_settlement)

    async def _at_its_time(self, run: Run, entry: StepEntry) -> StepEntry:
        now_ms = self.tools.clock.now_ms()
        if entry.op is Op.WAIT_FOR_EVENT:
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
            case WaitRefused(message):
                return resume.by_refusal(entry, message, now_ms)
            case _:
                assert_never(cause)
