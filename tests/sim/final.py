"""What only the whole picture shows: nothing is stuck while the world runs, and nothing is lost when it rests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from stepwell.wire.encoding import encode
from stepwell.wire.opcodes import Op
from stepwell_orchestrator.engine.schedules.tick import tick_event
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.queue_item import CloseBatch, Deadline, FireDebounce, Route, Tick, TimerDue, Work
from stepwell_orchestrator.model.run import Run, RunHeader, RunStatus
from stepwell_orchestrator.model.schedule import Schedule
from stepwell_orchestrator.model.step import StepEntry, StepStatus
from stepwell_orchestrator.ports import EventFilter, RunFilter
from tests.sim.checkers import Moment, ViolationError
from tests.sim.corpus import FAILED_EVENT, Member
from tests.sim.facts import (
    EntryWritten,
    EventAnswered,
    EventDebounced,
    EventStored,
    Fact,
    PauseFiled,
    RunCreated,
    RunEnded,
    Trouble,
    WorkLost,
)
from tests.sim.setting import Setting
from tests.sim.steps import Do, FailsError, MissingError, SendEvent, SendSignal, Step, matches

_LIFECYCLE: Mapping[RunStatus, tuple[str, ...]] = {
    RunStatus.COMPLETED: ("inngest/function.finished",),
    RunStatus.FAILED: ("inngest/function.finished", "inngest/function.failed"),
    RunStatus.CANCELLED: ("inngest/function.finished", "inngest/function.cancelled"),
}
_EVERYTHING = 10_000

Key = tuple[str, str]


class Ledger:
    """A checker that only remembers, for the questions at rest and at the end."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.answered: dict[str, None] = {}
        self.runs: dict[str, RunHeader] = {}
        self.ended: dict[str, RunStatus] = {}
        self.entries: dict[tuple[str, str], StepEntry] = {}
        self.troubled: set[str] = set()
        self.filed: dict[Key, int] = {}
        self.lost: set[int] = set()
        self.kept: dict[str, str] = {}
        """The event that each debounce kept last, by the event that began it."""

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case EventStored(event, True):
                self.events[event.internal_id] = event
            case EventAnswered(internal_id):
                self.answered[internal_id] = None
            case RunCreated(header):
                self.runs.setdefault(header.run_id, header)
            case EntryWritten(run_id, entry):
                self.entries[run_id, entry.step_id] = entry
            case RunEnded(run_id, outcome):
                self.ended[run_id] = outcome.status
            case Trouble(run_id):
                self.troubled.add(run_id)
            case PauseFiled(run_id, pause_id, handling):
                self.filed[run_id, pause_id] = handling
            case EventDebounced(kept=kept):
                self.kept[kept.first_event_id] = kept.event_id
            case WorkLost(handling):
                self.lost.add(handling)

    def pending(self, run_id: str) -> list[StepEntry]:
        """The steps of a run that something other than a discovery will finish."""
        return [entry for (owner, _), entry in self.entries.items() if owner == run_id and entry.pending]

    @property
    def completed(self) -> set[str]:
        """The runs that returned."""
        return {run_id for run_id, status in self.ended.items() if status is RunStatus.COMPLETED}

    def open_runs(self) -> list[RunHeader]:
        """The runs that have not ended."""
        return [header for run_id, header in self.runs.items() if run_id not in self.ended]


async def check_at_rest(setting: Setting, ledger: Ledger) -> None:
    """Promise 5, while nobody works: every open run is named by an item, or the sweep finds it: leased or in line.

    One that only waits is named by a timer for each of its waits, and can be found by what it waits for.
    """
    backend = setting.backend
    queued, leased = await backend.queued(), await backend.leased() | await backend.in_line()
    filed = {(run_id, pause_id) for run_id, pause_id, _ in await backend.filed()}
    timers = {(work.run_id, work.step_id) for work in queued if isinstance(work, TimerDue)}
    named = {work.event_id for work in queued if isinstance(work, Route)} | leased
    named |= {work.batch_id for work in queued if isinstance(work, CloseBatch)}
    named |= {ledger.kept.get(work.first_event_id, "") for work in queued if isinstance(work, FireDebounce)}
    named |= {
        tick_event(Schedule(work.function_id, work.cron), work.tick_ms, 0).internal_id
        for work in queued
        if isinstance(work, Tick)
    }
    for work in queued:
        if not isinstance(work, Deadline) and not _is_ahead(work, ledger):
            named.add(str(getattr(work, "run_id", "")))
    for header in ledger.open_runs():
        if not {header.run_id, *header.event_ids} & named:
            _check_waits(header.run_id, ledger.pending(header.run_id), timers, filed)


def _is_ahead(work: Work, ledger: Ledger) -> bool:
    """Whether an item is the timer of a step that still waits: it comes at its time, and for that step alone."""
    entry = ledger.entries.get((work.run_id, work.step_id)) if isinstance(work, TimerDue) else None
    return entry is not None and entry.pending


def _check_waits(run_id: str, pending: Sequence[StepEntry], timers: Collection[Key], filed: Collection[Key]) -> None:
    if not pending:
        raise ViolationError(5, "nothing will ever look at it again", run_id)
    for entry in pending:
        if entry.status not in (StepStatus.SLEEPING, StepStatus.WAITING) or (run_id, entry.step_id) not in timers:
            raise ViolationError(5, f"nothing will ever look at step {entry.name} again", run_id)
        if entry.op is Op.WAIT_FOR_EVENT and (run_id, entry.step_id) not in filed:
            raise ViolationError(7, f"no event can find wait {entry.name}", run_id)


async def check_end(setting: Setting, ledger: Ledger, members: Mapping[str, Member]) -> None:
    """Everything that must hold when the world has healed and come to rest."""
    for header in ledger.open_runs():
        raise ViolationError(5, f"still {header.status} after the faults stopped and time passed", header.run_id)
    _nothing_lost(ledger, members.values())
    await _nothing_left(setting, ledger)
    headers = await setting.backend.journal.list_runs(RunFilter(), cursor=None, limit=_EVERYTHING)
    stored = await setting.backend.journal.list_events(
        EventFilter(include_internal=True), cursor=None, limit=_EVERYTHING
    )
    told = {(event.name, event.data.get("run_id")) for event in stored}
    for header in headers:
        run = await setting.backend.journal.load(header.run_id)
        assert run is not None
        _as_witnessed(run, ledger)
        _told(run, told)
        _as_written(run, ledger, members[header.function_id])


def _nothing_lost(ledger: Ledger, members: Iterable[Member]) -> None:
    """Promise 1: an event that was answered started every function it triggers."""
    for member in members:
        wanted = {trigger.event for trigger in member.function.triggers}
        slug = member.function.slug
        started = {
            ledger.events[event_id].id
            for header in ledger.runs.values()
            if header.function_id == slug
            for event_id in header.event_ids
        }
        for internal_id in ledger.answered:
            event = ledger.events.get(internal_id)
            if event is None:
                raise ViolationError(1, f"event {internal_id} was answered and is not stored")
            is_owed = not _is_repeat(event, member, ledger) and not _is_superseded(event, member, ledger)
            if event.name in wanted and event.id not in started and is_owed:
                raise ViolationError(1, f"event {event.id} ({event.name}) never started {slug}")


def _is_repeat(event: Event, member: Member, ledger: Ledger) -> bool:
    """Whether the function had a run for the event's key already."""
    user = event.data.get("user")
    if not member.options.one_per_user or user is None:
        return False
    slug = member.function.slug
    triggers = [ledger.events[header.event_ids[0]] for header in ledger.runs.values() if header.function_id == slug]
    return any(trigger.data.get("user") == user for trigger in triggers)


def _is_superseded(event: Event, member: Member, ledger: Ledger) -> bool:
    """Whether a later event of a debounce ran instead."""
    offers, slug = member.options.offers, member.function.slug
    if not offers.period_ms:
        return False
    gate = offers.gate_of(event.data)
    triggers = [ledger.events[header.event_ids[0]] for header in ledger.runs.values() if header.function_id == slug]
    others = (other for other in triggers if offers.gate_of(other.data) == gate)
    return any((other.ts_ms, other.received_at_ms) >= (event.ts_ms, event.received_at_ms) for other in others)


async def _nothing_left(setting: Setting, ledger: Ledger) -> None:
    """Promise 7: what was waited for is given up. A timer that is still to come may do so as well.

    What stays is what a worker filed that was taken for dead, went on when its item had been dealt with, and died.
    """
    coming = {getattr(work, "run_id", None) for work in await setting.backend.queued()}
    for run_id, pause_id, name in await setting.backend.filed():
        if run_id not in coming and ledger.filed[run_id, pause_id] not in ledger.lost:
            raise ViolationError(7, f"still waits for {name} although it has ended", run_id)
    for run_id, name in await setting.backend.signals():
        if run_id not in coming:
            raise ViolationError(6, f"still is the waiter of signal {name} although it has ended", run_id)


def _as_witnessed(run: Run, ledger: Ledger) -> None:
    """The journal holds what it took in."""
    for entry in run.entries.values():
        taken = ledger.entries.get((run.header.run_id, entry.step_id))
        if entry.memoised and (taken is None or encode(taken.memo) != encode(entry.memo)):
            raise ViolationError(3, f"step {entry.name} is not what was journaled", run.header.run_id)


def _told(run: Run, told: set[tuple[str, Any]]) -> None:
    """Promise 8: the lifecycle events of an end exist; a run started by a failure stays silent."""
    silent = any(event.name == FAILED_EVENT for event in run.events)
    for name in _LIFECYCLE[run.header.status]:
        if ((name, run.header.run_id) in told) == silent:
            message = f"{name} was {'' if silent else 'not '}emitted for a run that ended as {run.header.status}"
            raise ViolationError(8, message, run.header.run_id)


def _as_written(run: Run, ledger: Ledger, member: Member) -> None:
    """A run ends as its code says; it may fail instead only where a fault could use up its attempts."""
    outcome, run_id = run.header.outcome, run.header.run_id
    assert outcome is not None
    troubled, max_attempts = run_id in ledger.troubled, member.function.max_attempts
    for entry in run.entries.values():
        if entry.status is StepStatus.FAILED and not _may_fail(member.steps.get(entry.step_id), max_attempts, troubled):
            raise ViolationError(4, f"step {entry.name} failed though nothing had gone wrong", run_id)
    if outcome.status is RunStatus.CANCELLED:
        return
    memos = {step_id: entry.memo for step_id, entry in run.entries.items() if entry.memoised}
    completed = outcome.status is RunStatus.COMPLETED
    try:
        expected = member.code.expected(memos, max_attempts)
    except FailsError:
        if completed:
            raise ViolationError(3, "completed, though its code can only fail", run_id) from None
        return
    except MissingError as missing:
        if completed:
            raise ViolationError(3, f"completed without {missing}", run_id) from None
    else:
        if completed and not matches(expected, outcome.output):
            raise ViolationError(3, f"returned {outcome.output!r} instead of {expected!r}", run_id)
    if not completed and not troubled:
        raise ViolationError(4, f"failed ({outcome.error}) though nothing had gone wrong", run_id)


def _may_fail(step: Step | None, max_attempts: int, troubled: bool) -> bool:
    match step:
        case Do(fails=fails):
            return fails >= max_attempts
        case SendEvent() | SendSignal():
            return troubled
        case _:
            return True
