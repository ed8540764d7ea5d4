"""What only the whole picture shows: nothing is stuck while the world runs, and nothing is lost when it rests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stepwell.wire.encoding import encode
from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Run, RunHeader, RunStatus
from stepwell_orchestrator.model.step import StepEntry
from stepwell_orchestrator.ports import EventFilter, RunFilter
from tests.sim.checkers import Moment, ViolationError
from tests.sim.corpus import FAILED_EVENT, Member
from tests.sim.facts import EntryWritten, EventAnswered, EventStored, Fact, RunCreated, RunEnded, Trouble
from tests.sim.scripted import UNKNOWN, FailsError
from tests.sim.setting import Setting

_LIFECYCLE: Mapping[RunStatus, tuple[str, ...]] = {
    RunStatus.COMPLETED: ("inngest/function.finished",),
    RunStatus.FAILED: ("inngest/function.finished", "inngest/function.failed"),
    RunStatus.CANCELLED: ("inngest/function.finished", "inngest/function.cancelled"),
}
_EVERYTHING = 1_000


class Ledger:
    """A checker that only remembers, for the questions at rest and at the end."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.answered: dict[str, None] = {}
        self.runs: dict[str, RunHeader] = {}
        self.ended: dict[str, RunStatus] = {}
        self.entries: dict[tuple[str, str], StepEntry] = {}
        self.troubled: set[str] = set()

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

    def open_runs(self) -> list[RunHeader]:
        """The runs that have not ended."""
        return [header for run_id, header in self.runs.items() if run_id not in self.ended]


async def check_at_rest(setting: Setting, ledger: Ledger) -> None:
    """Promise 5, while nobody works: every open run is named by a queue item, or leased, so that the sweep finds it."""
    named, leased = await setting.backend.queued(), await setting.backend.leased()
    for header in ledger.open_runs():
        if not {header.run_id, *header.event_ids} & named and header.run_id not in leased:
            raise ViolationError(5, "nothing will ever look at it again", header.run_id)


async def check_end(setting: Setting, ledger: Ledger, members: Mapping[str, Member]) -> None:
    """Everything that must hold when the world has healed and come to rest."""
    for header in ledger.open_runs():
        raise ViolationError(5, f"still {header.status} after the faults stopped and time passed", header.run_id)
    _nothing_lost(ledger, members.values())
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
            if event.name in wanted and event.id not in started:
                raise ViolationError(1, f"event {event.id} ({event.name}) never started {slug}")


def _as_witnessed(run: Run, ledger: Ledger) -> None:
    """The journal holds what it took in."""
    for entry in run.entries.values():
        taken = ledger.entries.get((run.header.run_id, entry.step_id))
        if entry.memoised and (taken is None or encode(taken.memo) != encode(entry.memo)):
            raise ViolationError(3, f"step {entry.name} is not what was journaled", run.header.run_id)


def _told(run: Run, told: set[tuple[str, Any]]) -> None:
    """Promise 8: the lifecycle events of an end exist; a run started by a failure stays silent."""
    silent = run.header.event_name == FAILED_EVENT
    for name in _LIFECYCLE[run.header.status]:
        if ((name, run.header.run_id) in told) == silent:
            message = f"{name} was {'' if silent else 'not '}emitted for a run that ended as {run.header.status}"
            raise ViolationError(8, message, run.header.run_id)


def _as_written(run: Run, ledger: Ledger, member: Member) -> None:
    """A run ends as its code says; it may fail instead only where a fault could use up its attempts."""
    outcome, run_id = run.header.outcome, run.header.run_id
    assert outcome is not None
    try:
        expected = member.code.expected(member.function.max_attempts)
    except FailsError:
        if outcome.status is RunStatus.COMPLETED:
            raise ViolationError(3, "completed, though its code can only fail", run_id) from None
        return
    if outcome.status is RunStatus.COMPLETED and not _matches(expected, outcome.output):
        raise ViolationError(3, f"returned {outcome.output!r} instead of {expected!r}", run_id)
    if outcome.status is RunStatus.FAILED and run_id not in ledger.troubled:
        raise ViolationError(4, f"failed ({outcome.error}) though nothing had gone wrong", run_id)


def _matches(expected: Any, found: Any) -> bool:
    if expected is UNKNOWN:
        return True
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(_matches(*pair) for pair in zip(expected, found, strict=True))
        )
    return bool(expected == found)
