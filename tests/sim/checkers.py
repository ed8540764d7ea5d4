"""The promises, each as a checker that is shown every fact and knows nothing of the engine or of the simulator.

A checker raises ViolationError at the first fact that breaks its promise. It may ask the corpus what a step waits for.
Waits, signals, invocations and cancellations have files of their own; what needs the whole picture (nothing lost,
everything ends) is in ``final.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from stepwell.wire.encoding import encode
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import RunHeader, RunStatus
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from tests.sim.corpus import Member
from tests.sim.facts import BodyRan, CallMade, EntryWritten, EventStored, Fact, RunCreated, RunEnded, Trouble
from tests.sim.steps import Nap

LIFECYCLE_EVENTS: Final = ("inngest/function.finished", "inngest/function.failed", "inngest/function.cancelled")


class ViolationError(Exception):
    """A promise was broken."""

    def __init__(self, promise: int, message: str, run_id: str = "") -> None:
        super().__init__(f"promise {promise}: {message}")
        self.promise = promise
        self.run_id = run_id


@dataclass(frozen=True, slots=True)
class Moment:
    """When a fact happened: its place in the order of all facts, and the true time, which no worker's clock shows."""

    at: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a clock is off at most, and how soon what must follow has followed, whatever goes wrong."""

    skew_max_ms: int
    prompt_ms: int


class Checker(Protocol):
    """Watches over one promise."""

    def see(self, fact: Fact, moment: Moment) -> None:
        """Raise ViolationError when the fact breaks the promise."""


class JournaledOnce:
    """Promise 3: an entry that is memoised never changes, and every call carries exactly what was journaled."""

    def __init__(self) -> None:
        self._memos: dict[tuple[str, str], bytes] = {}

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case EntryWritten(run_id, entry):
                key = (run_id, entry.step_id)
                if key in self._memos:
                    raise ViolationError(3, f"step {entry.name} was journaled twice", run_id)
                if entry.memoised:
                    self._memos[key] = encode(entry.memo)
            case CallMade():
                for step_id, memo in fact.memos.items():
                    if self._memos.get((fact.run_id, step_id)) != encode(memo):
                        message = f"call {fact.call} carries for step {step_id} what was never journaled"
                        raise ViolationError(3, message, fact.run_id)


class NotAgainOnceJournaled:
    """Promise 3: a call made by a worker that could see a step in the journal does not run the step's body."""

    def __init__(self) -> None:
        self._journaled: dict[tuple[str, str], int] = {}
        self._looked: dict[int, int] = {}

    def see(self, fact: Fact, moment: Moment) -> None:
        match fact:
            case EntryWritten(run_id, entry) if entry.memoised:
                self._journaled[run_id, entry.step_id] = moment.at
            case CallMade():
                self._looked[fact.call] = fact.looked
            case BodyRan():
                journaled = self._journaled.get((fact.run_id, fact.step_id))
                if journaled is not None and journaled < self._looked[fact.call]:
                    message = f"step {fact.name} ran in call {fact.call} although it was journaled before"
                    raise ViolationError(3, message, fact.run_id)


class AgainOnlyWithReason:
    """Promise 4: an attempt of a step runs again only if a fault struck somebody who worked on the run meanwhile.

    Meanwhile: since the earlier of the two workers was handed the item for which it made its call.
    """

    def __init__(self) -> None:
        self._troubles: dict[str, int] = {}
        self._since: dict[int, int] = {}
        self._ran: dict[tuple[str, str, int], int] = {}

    def see(self, fact: Fact, moment: Moment) -> None:
        match fact:
            case Trouble(run_id):
                self._troubles[run_id] = moment.at
            case CallMade():
                self._since[fact.call] = fact.since
            case BodyRan():
                key = (fact.run_id, fact.step_id, fact.attempt)
                before = self._ran.get(key)
                start = min(self._since[fact.call], self._since[fact.call if before is None else before])
                if before is not None and self._troubles.get(fact.run_id, -1) < start:
                    message = f"attempt {fact.attempt} of step {fact.name} ran twice, in calls {before} and {fact.call}"
                    raise ViolationError(4, f"{message}, and nothing had gone wrong", fact.run_id)
                self._ran[key] = fact.call


class AttemptsBounded:
    """No call is made for an attempt beyond the function's last."""

    def see(self, fact: Fact, _moment: Moment) -> None:
        if isinstance(fact, CallMade) and fact.attempt >= fact.max_attempts:
            message = f"call {fact.call} is attempt {fact.attempt}, of {fact.max_attempts} from 0"
            raise ViolationError(4, message, fact.run_id)


class StackGrows:
    """Promise 3: of two calls of a run one's stack begins with the other's, and a later term never knows less."""

    def __init__(self) -> None:
        self._longest: dict[str, tuple[str, ...]] = {}
        self._by_term: dict[tuple[str, int], int] = {}

    def see(self, fact: Fact, _moment: Moment) -> None:
        if not isinstance(fact, CallMade) or fact.target is not None:
            return
        stack, longest = tuple(fact.stack), self._longest.get(fact.run_id, ())
        shared = min(len(stack), len(longest))
        if stack[:shared] != longest[:shared] or len(set(stack)) != len(stack):
            raise ViolationError(3, f"call {fact.call} has a stack in another order than before", fact.run_id)
        if len(stack) < self._by_term.get((fact.run_id, fact.term), 0):
            raise ViolationError(3, f"call {fact.call} has a shorter stack than its driver sent before", fact.run_id)
        self._by_term[fact.run_id, fact.term] = len(stack)
        self._longest[fact.run_id] = max(stack, longest, key=len)


class OneRun:
    """Promise 2: an event, and a sender's event id, start a function at most once; so does a function's own key.

    Reruns are runs that somebody asked for by name. Ticks of two crons at one time have one event id, and are two.
    """

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = members
        self._events: dict[str, Event] = {}
        self._runs: dict[tuple[str, str], str] = {}

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case EventStored(event, True):
                self._events[event.internal_id] = event
            case RunCreated(header) if header.original_run_id is None:
                for event_id in header.event_ids:
                    cron = self._events[event_id].data.get("cron", "")
                    self._start(header, f"event id {self._events[event_id].id}{cron and f' of {cron}'}")
                user = self._events[header.event_ids[0]].data.get("user")
                if self._members[header.function_id].options.one_per_user and user is not None:
                    self._start(header, f"the key {user}")

    def _start(self, header: RunHeader, why: str) -> None:
        if self._runs.setdefault((header.function_id, why), header.run_id) != header.run_id:
            raise ViolationError(2, f"{why} started {header.function_id} twice", header.run_id)


class OneEnd:
    """Promise 8: a run ends once, nothing is written to it afterwards, and each of its lifecycle events exists once.

    ``late_entries``: entries may be, but no call is made by who could see the end. Who looked before it may find a late
    entry and carry it in a call, from which nothing follows any more.
    """

    def __init__(self, late_entries: bool = False) -> None:
        self._late_entries = late_entries
        self._ended: dict[str, RunStatus] = {}
        self._ended_at: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()

    def see(self, fact: Fact, moment: Moment) -> None:
        match fact:
            case RunEnded(run_id, outcome):
                if run_id in self._ended:
                    message = f"ended as {outcome.status} after it had ended as {self._ended[run_id]}"
                    raise ViolationError(8, message, run_id)
                self._ended[run_id] = outcome.status
                self._ended_at[run_id] = moment.at
            case EntryWritten(run_id, entry) if run_id in self._ended and not self._late_entries:
                raise ViolationError(8, f"step {entry.name} was written after the run's end", run_id)
            case CallMade(run_id=run_id) if (
                self._late_entries and self._ended_at.get(run_id, fact.looked) < fact.looked
            ):
                raise ViolationError(8, f"call {fact.call} was made after the run's end", run_id)
            case EventStored(event, True) if event.name in LIFECYCLE_EVENTS:
                key = (event.name, event.data["run_id"])
                if key in self._told:
                    raise ViolationError(8, f"{event.name} was emitted twice", key[1])
                self._told.add(key)


class NothingAfterCancel:
    """Promise 9: a worker that could see a run's cancellation in the journal does not call its function."""

    def __init__(self) -> None:
        self._cancelled: dict[str, int] = {}

    def see(self, fact: Fact, moment: Moment) -> None:
        match fact:
            case RunEnded(run_id, outcome) if outcome.status is RunStatus.CANCELLED:
                self._cancelled[run_id] = moment.at
            case CallMade() if self._cancelled.get(fact.run_id, fact.looked) < fact.looked:
                raise ViolationError(9, f"call {fact.call} was made after the cancellation", fact.run_id)


class LooksFirst:
    """Promises 3 and 9: a worker reads the run again between any two of its calls."""

    def __init__(self) -> None:
        self._called: dict[tuple[int, str], int] = {}

    def see(self, fact: Fact, moment: Moment) -> None:
        if isinstance(fact, CallMade):
            key = (fact.handling, fact.run_id)
            if fact.looked < self._called.get(key, 0):
                raise ViolationError(9, f"call {fact.call} was made without looking at the run", fact.run_id)
            self._called[key] = moment.at


class SleepsHold:
    """Promise 10: a sleep's end is fixed once, by its length, and no sleep is over earlier than that, or much later.

    Its end was reckoned by one worker's clock and is judged by another's. Against the true time it may therefore come
    early by how far the second one is ahead. It comes late by what it takes to get over faults.
    """

    def __init__(self, bounds: Bounds, members: Mapping[str, Member]) -> None:
        self._skew_max_ms = bounds.skew_max_ms
        self._prompt_ms = bounds.prompt_ms
        self._members = members
        self._functions: dict[str, str] = {}
        self._due: dict[tuple[str, str], int] = {}

    def see(self, fact: Fact, moment: Moment) -> None:
        match fact:
            case RunCreated(header):
                self._functions.setdefault(header.run_id, header.function_id)
            case EntryWritten(run_id, entry) if entry.op is Op.SLEEP:
                self._sleep(run_id, entry, moment.now_ms)

    def _sleep(self, run_id: str, entry: StepEntry, now_ms: int) -> None:
        nap = self._members[self._functions[run_id]].steps[entry.step_id]
        assert isinstance(nap, Nap)
        due_at_ms = self._due.setdefault((run_id, entry.step_id), entry.due_at_ms or 0)
        if entry.status is StepStatus.SLEEPING:
            if entry.due_at_ms != due_at_ms:
                raise ViolationError(10, f"the end of sleep {entry.name} was moved", run_id)
            if not 0 <= now_ms + nap.duration_ms + self._skew_max_ms - due_at_ms <= self._prompt_ms:
                raise ViolationError(10, f"sleep {entry.name} is not {nap.duration_ms} ms long", run_id)
        early_ms = due_at_ms - self._skew_max_ms - now_ms
        if entry.memoised and early_ms > 0:
            raise ViolationError(10, f"sleep {entry.name} ended {early_ms} ms too early", run_id)
        if entry.memoised and now_ms > due_at_ms + self._prompt_ms:
            raise ViolationError(10, f"sleep {entry.name} ended {now_ms - due_at_ms} ms after its time", run_id)
