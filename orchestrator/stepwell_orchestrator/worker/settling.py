"""Ending a step's wait: by its time, an event, a signal, an invoked run, or a refusal. The first one wins.

The settler is the worker that has such an item. It asks to drive first. As the driver it commits the final entry with
its place, on the condition that it is not memoised, and then gives up what the wait held. What may come between:

===================================  =====================================  ==========================================
who dies, or comes between           what the journal shows                 who repeats it, and how
===================================  =====================================  ==========================================
another worker drives                the entry, without a place             the settler asks to drive again, for the
                                                                            driver may have loaded before
  test_writing_little.py::test_what_comes_while_another_drives_is_written_all_the_same
a settler of the same wait was       its entry; the commit is refused       the loser gives up what the wait held, in
first                                                                       case the winner died
  test_waiting.py::test_timeout_and_event_in_one_millisecond_resolve_once
an event before the timeout is       a wait that has no entry of its end    the timer looks for such an event itself,
routed after it                                                             and ends the wait by it
  test_waiting.py::test_timeout_and_event_in_one_millisecond_resolve_once
the settler dies after the commit    the entry; a pause is still filed      the item's next delivery: it gives up, and
                                                                            asks to drive
  test_crash_everywhere.py::test_a_crash_at_any_port_call_is_survived
the run ends first                   the end; a pause may still be filed    the timer takes it out
  test_writing_little.py::test_the_wait_of_a_run_that_ended_is_given_up_by_its_timer
new code made another kind of the    an entry of that kind                  nobody: the cause is of no wait that there
step, or another wait, and what the                                         is; its item ends nothing and asks to drive
old one waited for comes
  test_stale_items.py::test_what_an_older_step_waited_for_ends_no_newer_one
... and the old one's time comes     the new entry; a timer of its own      the old timer waits for the new time
  test_stale_items.py::test_the_timer_of_an_older_sleep_ends_no_newer_wait
... and it was to be executed        a later attempt                        nobody: its item claims nothing
  test_stale_items.py::test_an_older_attempt_is_not_executed
... and the driver that let it go    the new entry, which says what the    the next driver (``takeover``) lets it go;
died before its commands             old one waited with                    its event ends nothing, and the next who
                                                                            wants the signal frees it
  test_crash_everywhere.py::test_a_crash_while_a_step_changes_leaves_nothing_behind
  test_stale_items.py::test_a_signal_that_nobody_waits_for_any_more_is_free
... while the settler has the older  the new entry; the commit is refused   the settler looks again: it ends nothing
one in hand                                                                 and gives up nothing of the new one
  test_replaced_entries.py::test_a_settler_does_not_end_what_the_step_has_become
===================================  =====================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.engine.waits import resume
from stepwell_orchestrator.engine.waits.waiting import awaits, give_up, invoked_event, pause_of
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
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.worker.committing import Settlement
from stepwell_orchestrator.worker.driving import Driver
from stepwell_orchestrator.worker.tools import Tools

_ENDS: Final[Mapping[type[Cause], frozenset[Op]]] = {
    EventArrived: frozenset({Op.WAIT_FOR_EVENT}),
    SignalArrived: frozenset({Op.WAIT_FOR_SIGNAL}),
    ChildEnded: frozenset({Op.INVOKE_FUNCTION}),
    WaitRefused: frozenset({Op.WAIT_FOR_SIGNAL, Op.INVOKE_FUNCTION}),
}
"""What each cause may end. A step may have become another kind by new code since its item was queued."""

_End = Callable[[Run, StepEntry], Awaitable[StepEntry | None]]
"""Gives a pending step's entry as it ends, or None when it does not end by that."""


@dataclass(frozen=True, slots=True)
class Settler:
    """Ends waits."""

    tools: Tools
    driver: Driver

    async def settle_by_time(self, work: TimerDue, deliveries: int) -> int | None:
        """End a step whose time has come. Returns when to try again: an item may be delivered early by this clock."""
        entry = await self.tools.journal.get_entry(work.run_id, work.step_id)
        if entry is None:
            return None
        if _waits(entry) and entry.due_at_ms is not None and entry.due_at_ms > self.tools.clock.now_ms():
            return entry.due_at_ms
        if not _waits(entry):
            await self.tools.dispatch(give_up(work.run_id, entry))
            return await self.driver.drive(work.run_id, deliveries)
        return await self._settle(work.run_id, work.step_id, self._end_by_time, deliveries)

    async def settle(self, work: Settle, deliveries: int) -> int | None:
        """End a step's wait by the cause that the item names. Returns when to try again, or None."""

        async def end(run: Run, entry: StepEntry) -> StepEntry | None:
            return await self._end_by_cause(run, entry, work.cause)

        return await self._settle(work.run_id, work.step_id, end, deliveries)

    async def _settle(self, run_id: str, step_id: str, end: _End, deliveries: int) -> int | None:
        async def find_settlement(run: Run) -> Settlement:
            entry = run.entries.get(step_id)
            if entry is None:
                return Settlement()
            goes_on = _waits(entry) and run.header.outcome is None
            ended = await end(run, entry) if goes_on else None
            if goes_on and ended is None:
                return Settlement()
            return Settlement(ended, entry, give_up(run_id, entry))

        return await self.driver.drive(run_id, deliveries, find_settlement)

    async def _end_by_time(self, run: Run, entry: StepEntry) -> StepEntry:
        now_ms = self.tools.clock.now_ms()
        if entry.op is Op.WAIT_FOR_EVENT:
            event = await self.tools.dispatcher.find_event(pause_of(run, entry))
            if event is not None:
                return resume.by_event(entry, event, now_ms)
        return resume.time_is_up(entry, now_ms)

    async def _end_by_cause(self, run: Run, entry: StepEntry, cause: Cause) -> StepEntry | None:
        """Returns the entry as the cause ends it, or None when the cause is gone: then only time can end the wait."""
        now_ms = self.tools.clock.now_ms()
        if entry.op not in _ENDS[type(cause)]:
            return None
        match cause:
            case EventArrived(event_id):
                event = await self.tools.journal.get_event(event_id)
                awaited = event is not None and awaits(run, entry, event, now_ms)
                return resume.by_event(entry, event, now_ms) if event is not None and awaited else None
            case SignalArrived(signal, data):
                return resume.by_signal(entry, signal, data, now_ms) if signal == entry.opts["signal"] else None
            case ChildEnded(run_id):
                child = await self.tools.journal.get_header(run_id)
                invoked = child is not None and invoked_event(run, entry).internal_id in child.event_ids
                outcome = child.outcome if child is not None and invoked else None
                return None if outcome is None else resume.by_child(entry, outcome, now_ms)
            case WaitRefused(message, until_ms):
                refused = until_ms in (None, entry.due_at_ms)
                return resume.by_refusal(entry, message, now_ms) if refused else None
            case _:
                assert_never(cause)


def _waits(entry: StepEntry) -> bool:
    """Whether something from outside may end the step. One that runs now was a wait in older code, perhaps."""
    return entry.status in (StepStatus.SLEEPING, StepStatus.WAITING)
