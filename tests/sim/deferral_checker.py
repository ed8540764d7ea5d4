"""Promise 8 for what a run defers: it starts once, after the run has ended, unless it was taken back."""

from __future__ import annotations

from collections.abc import Mapping

from stepwell_orchestrator.model.step import StepEntry, StepStatus
from tests.sim.checkers import Moment, ViolationError
from tests.sim.corpus import Member
from tests.sim.deferring import DEFERRED_EVENT, Deferring
from tests.sim.facts import EntryWritten, EventStored, Fact, RunCreated, RunEnded

Key = tuple[str, str]


class Deferrals:
    """A checker that also says at the end what is missing. A deferral that is stored after the end may start or not."""

    def __init__(self, members: Mapping[str, Member]) -> None:
        self._members = members
        self._entries: dict[Key, StepEntry] = {}
        self._late: set[Key] = set()
        self._ended: set[str] = set()
        self._functions: dict[str, str] = {}
        self._events: dict[Key, str] = {}
        self._started: set[str] = set()

    def see(self, fact: Fact, _moment: Moment) -> None:
        match fact:
            case EntryWritten(run_id, entry) if not entry.is_step:
                self._written((run_id, entry.name), entry)
            case RunEnded(run_id):
                self._ended.add(run_id)
            case EventStored(event, True) if event.name == DEFERRED_EVENT:
                self._stored((event.data["_inngest"]["parent_run_id"], event.data["name"]), event.internal_id)
            case RunCreated(header):
                self._functions[header.run_id] = header.function_id
                self._started.update(header.event_ids)

    def _written(self, key: Key, entry: StepEntry) -> None:
        known = self._entries.get(key)
        if known is not None and entry.status is StepStatus.DEFERRED:
            raise ViolationError(8, f"{entry.name} was deferred again; it was {known.status} before", key[0])
        if key[0] in self._ended:
            self._late.add(key)
        self._entries[key] = entry

    def _stored(self, key: Key, event_id: str) -> None:
        run_id, name = key
        if run_id not in self._ended:
            raise ViolationError(8, f"{name} starts before its run has ended", run_id)
        if key in self._events:
            raise ViolationError(8, f"{name} starts twice", run_id)
        if self._entries[key].status is not StepStatus.DEFERRED and key not in self._late:
            raise ViolationError(8, f"{name} starts although it was aborted", run_id)
        self._events[key] = event_id

    def check_end(self, completed: set[str]) -> None:
        """Everything that a run deferred has started, and a run that completed has deferred all that its code does."""
        for (run_id, name), entry in self._entries.items():
            if entry.status is StepStatus.DEFERRED and (run_id, name) not in self._late:
                self._check_started(run_id, name)
        for run_id in completed:
            code = self._members[self._functions[run_id]].code
            missing = (
                [name for name in code.names if (run_id, name) not in self._entries]
                if isinstance(code, Deferring)
                else []
            )
            if missing:
                raise ViolationError(8, f"completed without having deferred {missing[0]}", run_id)

    def _check_started(self, run_id: str, name: str) -> None:
        event_id = self._events.get((run_id, name))
        code = self._members[self._functions[run_id]].code
        assert isinstance(code, Deferring)
        if event_id is None or (event_id not in self._started and code.function in self._members):
            raise ViolationError(8, f"{name} was deferred and never started", run_id)
