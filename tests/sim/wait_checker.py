"""Promises 6 and 7 for waits for events: one resolution each, by the right event, and by one that came in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.step import StepStatus
from tests.sim.checkers import Bounds, Moment, ViolationError
from tests.sim.corpus import Member
from tests.sim.facts import EntryWritten, Fact
from tests.sim.known_runs import Call, KnownRuns, Stored
from tests.sim.steps import EventWait


@dataclass(slots=True)
class Waiting:
    """One wait: the call that reported it, when it was journaled, and its expiry by the clock of whoever did that.

    ``resolved`` is when it ended, ``took`` are the events it may have ended by: two may look the same.
    """

    run_id: str
    step: EventWait
    called: Call
    journaled: Moment
    expires_at_ms: int
    resolved: Moment | None = None
    took: set[str] = field(default_factory=set)
    given_up: bool = False


class WaitsResolve:
    """A wait ends by an event that it accepts and that came in its time, or else by its timeout, never both.

    Clocks differ: an event's receipt, a wait's begin and its end are each told by another worker. Where the order of
    two of them cannot be told, both outcomes are right. One that its function gave up takes nothing any more.
    """

    def __init__(self, bounds: Bounds, members: Mapping[str, Member]) -> None:
        self._skew_max_ms = bounds.skew_max_ms
        self._prompt_ms = bounds.prompt_ms
        self._known = KnownRuns(members)
        self._waits: dict[tuple[str, str], Waiting] = {}

    def see(self, fact: Fact, moment: Moment) -> None:
        self._known.see(fact, moment)
        if not isinstance(fact, EntryWritten) or fact.entry.op is not Op.WAIT_FOR_EVENT:
            return
        wait = self._waits.get((fact.run_id, fact.entry.step_id))
        if wait is not None and fact.entry.status is StepStatus.DROPPED:
            wait.given_up = True
        elif wait is None or (wait.given_up and not fact.entry.memoised):
            self._begin(fact, moment)
        elif wait.given_up:
            self._end_given_up(wait, fact, moment)
        elif fact.entry.due_at_ms != wait.expires_at_ms:
            raise ViolationError(6, f"the end of wait {fact.entry.name} was moved", fact.run_id)
        elif fact.entry.memoised:
            self._end(wait, fact, moment)

    def _end_given_up(self, wait: Waiting, fact: EntryWritten, moment: Moment) -> None:
        """What was about to end a wait when it was given up may still do so, and nothing is owed to it."""
        wait.resolved = moment
        if fact.entry.status is StepStatus.COMPLETED:
            self._resume(wait, fact)

    def _begin(self, fact: EntryWritten, moment: Moment) -> None:
        entry, run_id = fact.entry, fact.run_id
        step, called = self._known.step(run_id, entry.step_id), self._known.reported(fact)
        assert isinstance(step, EventWait), f"{entry.name} waits and is no wait"
        if entry.status is not StepStatus.WAITING or called is None or entry.due_at_ms is None:
            raise ViolationError(6, f"wait {entry.name} ended before it began", run_id)
        expires_at_ms = entry.due_at_ms
        earliest_ms = called.moment.now_ms + step.timeout_ms - self._skew_max_ms
        if not earliest_ms <= expires_at_ms <= moment.now_ms + step.timeout_ms + self._skew_max_ms:
            raise ViolationError(6, f"wait {entry.name} does not last {step.timeout_ms} ms", run_id)
        self._waits[run_id, entry.step_id] = Waiting(run_id, step, called, moment, expires_at_ms)

    def _end(self, wait: Waiting, fact: EntryWritten, moment: Moment) -> None:
        entry, name = fact.entry, fact.entry.name
        if wait.resolved is not None:
            raise ViolationError(6, f"wait {name} was resolved twice", fact.run_id)
        wait.resolved = moment
        for owed in self._owed(wait):
            late_ms = moment.now_ms - max(owed.moment.now_ms, wait.journaled.now_ms)
            if late_ms > self._prompt_ms:
                raise ViolationError(7, f"wait {name} went on {late_ms} ms after {_told(owed.event)}", fact.run_id)
        match entry.status:
            case StepStatus.COMPLETED:
                self._resume(wait, fact)
            case StepStatus.TIMED_OUT:
                self._time_out(wait, fact, moment)
            case _:
                raise ViolationError(6, f"wait {name} ended as {entry.status}", fact.run_id)

    def _resume(self, wait: Waiting, fact: EntryWritten) -> None:
        taken = self._taken_before(wait)
        for stored in self._candidates(wait):
            if stored.event.wire() == fact.entry.memo and stored.event.internal_id not in taken:
                wait.took.add(stored.event.internal_id)
        if not wait.took:
            message = f"wait {fact.entry.name} took an event that it does not wait for: {fact.entry.memo}"
            raise ViolationError(6, message, fact.run_id)

    def _time_out(self, wait: Waiting, fact: EntryWritten, moment: Moment) -> None:
        early_ms = wait.expires_at_ms - self._skew_max_ms - moment.now_ms
        if fact.entry.memo is not None or early_ms > 0:
            raise ViolationError(6, f"wait {fact.entry.name} timed out {early_ms} ms too early", fact.run_id)
        for owed in self._owed(wait):
            if owed.moment.now_ms < wait.expires_at_ms - self._skew_max_ms:
                message = f"wait {fact.entry.name} timed out in spite of {_told(owed.event)}"
                raise ViolationError(7, message, fact.run_id)

    def _candidates(self, wait: Waiting) -> Iterator[Stored]:
        """The events that may resume a wait, told generously: clocks may be off."""
        since_ms = wait.called.moment.now_ms - self._skew_max_ms
        match wait.step.lookback:
            case "run":
                since_ms = min(since_ms, self._known.headers[wait.run_id].created_at_ms)
            case int(lookback_ms):
                since_ms -= lookback_ms
        for stored in self._accepted(wait):
            if since_ms <= stored.event.received_at_ms < wait.expires_at_ms:
                yield stored

    def _owed(self, wait: Waiting) -> Iterator[Stored]:
        """The events that must resume a wait, told strictly: received after the call was made, or in the lookback.

        Nothing is owed to a run that has ended; whether an entry may still come then is for ``OneEnd`` to say.
        """
        if wait.run_id in self._known.ended:
            return
        since_ms = wait.called.moment.now_ms + self._skew_max_ms
        match wait.step.lookback:
            case "run":
                since_ms = min(since_ms, self._known.headers[wait.run_id].created_at_ms)
            case int(lookback_ms):
                since_ms = min(since_ms, wait.journaled.now_ms + self._skew_max_ms - lookback_ms)
        taken = self._taken_before(wait)
        for stored in self._accepted(wait):
            event = stored.event
            came = wait.step.lookback is not None or stored.moment.at > wait.called.moment.at
            if came and since_ms <= event.received_at_ms < wait.expires_at_ms and event.internal_id not in taken:
                yield stored

    def _accepted(self, wait: Waiting) -> Iterator[Stored]:
        trigger = self._known.trigger(wait.run_id)
        for stored in self._known.by_name.get(wait.step.event, ()):
            event = stored.event
            if event.internal_id != trigger.internal_id and wait.step.narrow.accepts(trigger.data, event.data):
                yield stored

    def _taken_before(self, wait: Waiting) -> set[str]:
        """The events that waits took which were known to have ended when this one was reported.

        An event resumes a run's successive waits once; waits side by side may share it.
        """
        earlier = (self._waits.get((wait.run_id, step_id)) for step_id in wait.called.known)
        return {event_id for other in earlier if other is not None for event_id in other.took}


def _told(event: Event) -> str:
    return f"event {event.id} ({event.name}, received at {event.received_at_ms})"
