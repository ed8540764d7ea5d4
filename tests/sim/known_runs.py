"""What every checker of waits has to know of runs: their functions, their triggers, and the calls under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stepwell_orchestrator.model.event import Event
from stepwell_orchestrator.model.run import Outcome, RunHeader
from tests.sim.checkers import Moment
from tests.sim.corpus import Member
from tests.sim.facts import CallMade, EntryWritten, EventStored, Fact, RunCreated, RunEnded
from tests.sim.steps import Step


@dataclass(frozen=True, slots=True)
class Call:
    """A call, when it was made, and the steps that were known to it."""

    moment: Moment
    known: frozenset[str]


@dataclass(frozen=True, slots=True)
class Stored:
    """An event, and when the journal took it in."""

    event: Event
    moment: Moment


class KnownRuns:
    """Remembers. Its owner shows it every fact first."""

    def __init__(self, members: Mapping[str, Member]) -> None:
        self.members = members
        self.headers: dict[str, RunHeader] = {}
        self.created: dict[str, Moment] = {}
        self.ended: dict[str, tuple[Outcome, Moment]] = {}
        self.events: dict[str, Stored] = {}
        self.by_name: dict[str, list[Stored]] = {}
        self._calls: dict[tuple[int, str], Call] = {}

    def see(self, fact: Fact, moment: Moment) -> None:
        """Take a fact in."""
        match fact:
            case EventStored(event, True):
                stored = Stored(event, moment)
                self.events[event.internal_id] = stored
                self.by_name.setdefault(event.name, []).append(stored)
            case RunCreated(header) if header.run_id not in self.headers:
                self.headers[header.run_id] = header
                self.created[header.run_id] = moment
            case RunEnded(run_id, outcome):
                self.ended[run_id] = (outcome, moment)
            case CallMade():
                self._calls[fact.handling, fact.run_id] = Call(moment, frozenset(fact.memos))

    def trigger(self, run_id: str) -> Event:
        """The event that started a run."""
        return self.events[self.headers[run_id].event_ids[0]].event

    def step(self, run_id: str, step_id: str) -> Step | None:
        """A step as the code of the run's function has it."""
        return self.members[self.headers[run_id].function_id].steps.get(step_id)

    def reported(self, fact: EntryWritten) -> Call | None:
        """The call that reported what is written now; None when none was made."""
        return self._calls.get((fact.handling, fact.run_id))
