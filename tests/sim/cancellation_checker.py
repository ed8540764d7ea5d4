"""Promise 9 from its other end: who is to be cancelled is, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import RunHeader, RunStatus
from stepwell_orchestrator.model.step import StepStatus
from tests.sim.checkers import Bounds, Moment, ViolationError
from tests.sim.corpus import STOP_EVENT, Member, Options
from tests.sim.facts import (
    BulkCancelAsked,
    CancelAsked,
    EntryWritten,
    Fact,
    RerunAnswered,
    RerunAsked,
    RunCreated,
    RunEnded,
    RunStarted,
)
from tests.sim.known_runs import KnownRuns, Stored
from tests.sim.steps import Invocation


class CancelledForAReason:
    """A run is cancelled only by request, with its caller, by an event that may cancel it, or by a time it overran.

    And it is cancelled soon when one of these is so, unless it ended before. A rerun has a run that was to be rerun.
    """

    def __init__(self, bounds: Bounds, members: Mapping[str, Member]) -> None:
        self._skew_max_ms = bounds.skew_max_ms
        self._prompt_ms = bounds.prompt_ms
        self._known = KnownRuns(members)
        self._started: dict[str, tuple[int, int]] = {}
        """By the clock of whoever started it, and truly."""
        self._asked: set[str] = set()
        self._bulk: list[tuple[BulkCancelAsked, Moment]] = []
        self._reruns: set[str] = set()
        self._awaited: set[tuple[str, str]] = set()
        """The invocations that are waited for, by run and step; those of a run that ended are as they were then."""

    def see(self, fact: Fact, moment: Moment) -> None:
        self._known.see(fact, moment)
        match fact:
            case RunStarted(run_id, at_ms):
                self._started[run_id] = (at_ms, moment.now_ms)
                start_ms = self._options(run_id).start_ms
                starts_ms = max(self._starts_ms(run_id), self._known.created[run_id].now_ms)
                if start_ms is not None and moment.now_ms > starts_ms + start_ms + self._prompt_ms:
                    raise ViolationError(9, "started long after its time to start was up", run_id)
            case CancelAsked(run_id):
                self._asked.add(run_id)
            case BulkCancelAsked():
                self._bulk.append((fact, moment))
            case EntryWritten(run_id, entry) if entry.op is Op.INVOKE_FUNCTION:
                key = (run_id, entry.step_id)
                (self._awaited.add if entry.status is StepStatus.WAITING else self._awaited.discard)(key)
            case RerunAsked(run_id):
                self._reruns.add(run_id)
            case RerunAnswered(run_id) if run_id not in self._known.headers:
                raise ViolationError(1, "a rerun was accepted, and there is none", run_id)
            case RunCreated(header) if header.original_run_id not in (None, *self._reruns):
                raise ViolationError(2, "is the rerun of a run that nobody wanted to run again", header.run_id)
            case RunEnded(run_id, outcome):
                self._ended(run_id, moment.now_ms, cancelled=outcome.status is RunStatus.CANCELLED)

    def _ended(self, run_id: str, now_ms: int, *, cancelled: bool) -> None:
        for since_ms, why in self._owed(run_id):
            if now_ms > since_ms + self._prompt_ms:
                raise ViolationError(9, f"ended {now_ms - since_ms} ms after {why} should have cancelled it", run_id)
        if cancelled and not self._has_reason(run_id, now_ms):
            raise ViolationError(9, "was cancelled for no reason", run_id)

    def _has_reason(self, run_id: str, now_ms: int) -> bool:
        """Told generously: clocks may be off."""
        header, slack_ms = self._known.headers[run_id], 2 * self._skew_max_ms
        return (
            run_id in self._asked
            or any(self._meets(asked, header) for asked, _ in self._bulk)
            or any(self._stops(run_id, slack_ms))
            or self._overran(run_id, now_ms, slack_ms)
            or self._caller_cancelled(header) is not None
        )

    def _overran(self, run_id: str, now_ms: int, slack_ms: int) -> bool:
        """Whether a run had not started, or not finished, in its time. One that starts late may get that far."""
        options, starts_ms = self._options(run_id), self._starts_ms(run_id)
        asked_ms, started_ms = self._started.get(run_id, (now_ms, now_ms))
        starts_late = options.start_ms is not None and started_ms + slack_ms >= starts_ms + options.start_ms
        return starts_late or (options.finish_ms is not None and now_ms + slack_ms >= asked_ms + options.finish_ms)

    def _owed(self, run_id: str) -> Iterator[tuple[int, str]]:
        """Since when, and why, a run is to be cancelled, told strictly."""
        header, options = self._known.headers[run_id], self._options(run_id)
        created = self._known.created[run_id]
        for asked, moment in self._bulk:
            existed = created.at < moment.at and header.created_at_ms < asked.until_ms
            if asked.accepted and existed and self._meets(asked, header):
                yield moment.now_ms, "a bulk cancellation"
        for stored in self._stops(run_id, -2 * self._skew_max_ms):
            yield max(stored.moment.now_ms, created.now_ms), f"event {stored.event.id}"
        caller_end = self._caller_cancelled(header)
        if caller_end is not None:
            yield max(caller_end.now_ms, created.now_ms), "the cancellation of its caller"
        if options.finish_ms is not None and run_id in self._started:
            yield self._started[run_id][1] + options.finish_ms, "its time"

    def _caller_cancelled(self, header: RunHeader) -> Moment | None:
        """When the run that waits for this one was cancelled, if it was and takes this one along."""
        invoker = header.invoked_by
        if invoker is None or invoker not in self._awaited or invoker.run_id not in self._known.ended:
            return None
        step = self._known.step(*invoker)
        outcome, moment = self._known.ended[invoker.run_id]
        takes_along = isinstance(step, Invocation) and not step.abandons
        return moment if takes_along and outcome.status is RunStatus.CANCELLED else None

    def _stops(self, run_id: str, slack_ms: int) -> Iterator[Stored]:
        """The events that may cancel a run: received after it was created, before its rule no longer applies."""
        rule, header = self._options(run_id).cancel, self._known.headers[run_id]
        trigger = self._known.trigger(run_id)
        for stored in () if rule is None else self._known.by_name.get(STOP_EVENT, ()):
            event = stored.event
            if rule is None or not rule.narrow.accepts(trigger.data, event.data):
                continue
            created_ms = header.created_at_ms - (slack_ms if header.original_run_id else 0)
            until_ms = float("inf") if rule.timeout_ms is None else self._starts_ms(run_id) + rule.timeout_ms + slack_ms
            if created_ms <= event.received_at_ms < until_ms and not _is_before(event, trigger):
                yield stored

    def _options(self, run_id: str) -> Options:
        return self._known.members[self._known.headers[run_id].function_id].options

    def _meets(self, asked: BulkCancelAsked, header: RunHeader) -> bool:
        trigger = self._known.trigger(header.run_id)
        return asked.function_id == header.function_id and (
            asked.user is None or trigger.data.get("user") == asked.user
        )

    def _starts_ms(self, run_id: str) -> int:
        """When a run is to start: at its trigger's own time if that lies ahead."""
        header = self._known.headers[run_id]
        is_rerun = header.original_run_id is not None
        return header.created_at_ms if is_rerun else max(header.created_at_ms, self._known.trigger(run_id).ts_ms)


def _is_before(event: Event, trigger: Event) -> bool:
    """Of two events received in one millisecond, the one with the later id counts as the later one."""
    return event.received_at_ms == trigger.received_at_ms and event.internal_id < trigger.internal_id
