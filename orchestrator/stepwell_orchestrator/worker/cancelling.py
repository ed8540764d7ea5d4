"""Ending runs from outside: one, many, or one that took too long; and with a run those that it waits for.

The canceller commits the end of the caller first and cancels the runs that it invoked after that, by ids that follow
from its journal. The router creates an invoked run first and looks at its caller after that. So one of them at least
sees what the other wrote. What may come between:

===================================  =====================================  ==========================================
who dies, or comes between           what the journal shows                 who repeats it, and how
===================================  =====================================  ==========================================
the caller is cancelled before the   the caller's end, no invoked run       the router: it creates the run, sees the
event of its invocation is routed                                           end, and cancels the run unstarted
  test_cancelling_children.py::test_a_child_that_is_not_there_yet_never_starts
... between the creation of the run  the caller's end, a queued run         the canceller, by the run's id
and the router's look
  test_cancelling_children.py::test_a_caller_cancelled_while_its_child_is_created_takes_it_along
... before the invocation's event    the caller's end, a waiting entry      nobody: the event is not sent any more
was stored
  test_cancelling_children.py::test_an_invocation_that_was_not_sent_yet_is_not_sent
... while the invoked run goes on    both ends                              the invoked run's own cancellation: its
                                                                            driver stops, and so on down
  test_cancelling_children.py::test_grandchildren_fall_by_the_same_rule
the invoked run ended first          its own end                            nobody: the cancellation is refused
  test_cancelling_children.py::test_a_child_that_has_ended_stays_as_it_is
the canceller dies after the commit  the caller's end                       the item's next delivery: the end's commands
  test_cancelling_children.py::test_a_crash_at_any_port_call_leaves_no_child_behind
the router dies after it created     the invoked run, queued                the item's next delivery: it looks again
the run
  test_cancelling_children.py::test_a_crash_at_any_port_call_leaves_no_child_behind
===================================  =====================================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stepwell_orchestrator.engine.calls.recover import recover
from stepwell_orchestrator.engine.runs import ending
from stepwell_orchestrator.engine.runs.route import TRIGGER_VARIABLES
from stepwell_orchestrator.engine.waits import items
from stepwell_orchestrator.errors import ConflictError
from stepwell_orchestrator.limits import PAUSE_PAGE
from stepwell_orchestrator.model.decision import Decision, EndRun
from stepwell_orchestrator.model.queue_item import CancelMatching, Deadline
from stepwell_orchestrator.model.run import RunHeader, RunStatus
from stepwell_orchestrator.ports import RunFilter
from stepwell_orchestrator.worker.tools import Tools

_CANCELLABLE = (RunStatus.QUEUED, RunStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Canceller:
    """Cancels runs. A cancellation takes no lease: it is committed on the run, and its driver stops."""

    tools: Tools

    async def cancel(self, run_id: str) -> None:
        """End a run as cancelled unless it has ended; a repeat finishes what a crash left undone."""
        run = await self.tools.journal.load(run_id)
        if run is None:
            return
        decision = Decision((EndRun(ending.cancelled(self.tools.clock.now_ms())),))
        try:
            await self.tools.journal.commit(run_id, decision.writes, term=None)
            self.tools.tell(run.header, decision)
        except ConflictError:
            pass
        await self.tools.dispatch(recover(await self.tools.load(run_id), self.tools.clock.now_ms()))
        await self.tools.keeper.halting.leave(run.header)

    async def enforce_deadline(self, work: Deadline, due_at_ms: int) -> int | None:
        """Cancel a run that has not started by ``due_at_ms``, or not ended in time, which counts from its start.

        Returns when to look again: a schedule may fire before its time. A run found cancelled may be this deadline's
        own, whose worker died before the end was told.
        """
        header = await self.tools.journal.get_header(work.run_id)
        if header is None:
            return None
        if header.outcome is not None:
            if header.outcome.status is RunStatus.CANCELLED:
                await self.cancel(work.run_id)
            return None
        now_ms = self.tools.clock.now_ms()
        if work.kind == "start" and header.started_at_ms is not None:
            return None
        if work.kind == "finish":
            due_at_ms = (now_ms if header.started_at_ms is None else header.started_at_ms) + work.limit_ms
        if due_at_ms > now_ms:
            return due_at_ms
        await self.cancel(work.run_id)
        return None

    async def cancel_matching(self, work: CancelMatching) -> None:
        """Queue the cancellation of one page of runs, and the next page."""
        wanted = RunFilter(
            function_id=work.function_id, statuses=_CANCELLABLE, from_ms=work.from_ms, until_ms=work.until_ms
        )
        page = await self.tools.journal.list_runs(wanted, cursor=work.cursor, limit=PAUSE_PAGE)
        now_ms = self.tools.clock.now_ms()
        matched = [header for header in page if await self._accepts(header, work.expression, now_ms)]
        commands = [items.cancel(header.run_id, now_ms) for header in matched]
        if len(page) == PAUSE_PAGE:
            commands.append(items.cancel_matching(replace(work, cursor=page[-1].run_id), now_ms))
        await self.tools.dispatch(commands)

    async def _accepts(self, header: RunHeader, expression: str | None, now_ms: int) -> bool:
        if expression is None:
            return True
        from stepwell_orchestrator.expr.compile import compile_expression

        event = await self.tools.journal.get_event(header.event_ids[0])
        compiled = compile_expression(expression, variables=TRIGGER_VARIABLES)
        return event is not None and compiled.matches({"event": event.wire()}, now_ms)
