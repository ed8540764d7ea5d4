"""What happened in a world, in order: one line each, readable, and the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stepwell.wire.call import DISCOVERY_STEP_ID
from stepwell_orchestrator.entry.virtual_clock import VIRTUAL_START_MS
from stepwell_orchestrator.model.decision import EndRun, PutEntry
from stepwell_orchestrator.model.queue_item import QueueItem
from tests.sim.facts import EntryWritten, EventStored, Fact, RunCreated, RunEnded

FIRST_LINES: Final = 15
LAST_LINES: Final = 45
_WIDTH: Final = 120


@dataclass(frozen=True, slots=True)
class Line:
    """One line, and the run it is filed under, if any."""

    run_id: str
    text: str
    is_fault: bool


class Trace:
    """The lines of one world. Runs are called ``run 1``, ``run 2``, ... in the order in which they were first seen."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lines: list[Line] = []
        self._aliases: dict[str, str] = {}
        self._steps: dict[str, str] = {DISCOVERY_STEP_ID: "discovery"}

    def note(self, actor: str, text: str, run_id: str = "") -> None:
        """Add a line. ``run_id`` files it under a run."""
        self._add(actor, text, run_id, is_fault=False)

    def strike(self, actor: str, text: str, run_id: str) -> None:
        """Add the line of a fault."""
        self._add(actor, text, run_id, is_fault=True)

    def fact(self, fact: Fact) -> None:
        """Add the line of what became a fact in the journal, if it has one."""
        match fact:
            case EventStored(event, True):
                self.note("journal", f"stores event {event.name} {event.id}", str(event.data.get("run_id", "")))
            case RunCreated(header):
                self.note("journal", f"creates a run of {header.function_id}", header.run_id)
            case EntryWritten(run_id, entry):
                self._steps[entry.step_id] = f"step {entry.name}"
                self.note("journal", f"step {entry.name} is {entry.status}", run_id)
            case RunEnded(run_id, outcome):
                self.note("journal", f"the run is {outcome.status}", run_id)

    def alias(self, run_id: str) -> str:
        """The short name of a run."""
        return self._aliases.setdefault(run_id, f"run {len(self._aliases) + 1}")

    def step(self, step_id: str) -> str:
        """The name of a step that was journaled before, or the start of its id."""
        return self._steps.get(step_id, f"step {step_id[:8]}")

    def item(self, item: QueueItem) -> str:
        """A queue item in a few words."""
        step_id = getattr(item.work, "step_id", None)
        return type(item.work).__name__ + ("" if step_id is None else f" of {self.step(step_id)}")

    def about(self, args: Sequence[Any]) -> str:
        """What a port call is about, as far as its arguments tell a person: ``step charge completed``."""
        return ", ".join(self._about(args))

    def _about(self, things: Sequence[Any]) -> Iterator[str]:
        for thing in things:
            match thing:
                case PutEntry(entry):
                    yield f"step {entry.name} {entry.status}"
                case EndRun(outcome):
                    yield f"the run {outcome.status}"
                case QueueItem():
                    yield self.item(thing)
                case str() if thing in self._steps:
                    yield self._steps[thing]
                case list() | tuple():
                    yield from self._about(thing)

    def lines(self, run_id: str = "") -> list[str]:
        """All lines, or those of one run and of no run in particular that concern every worker."""
        return [line.text for line in self._lines if run_id in ("", line.run_id)]

    def faults(self) -> list[str]:
        """The lines of all faults."""
        return [line.text for line in self._lines if line.is_fault]

    def short(self, run_id: str) -> list[str]:
        """What a reader needs to understand what happened to a run: its start and its end, without the long tails."""
        about = [line.text for line in self._lines if not run_id or line.run_id in ("", run_id)]
        cut = [text if len(text) <= _WIDTH else f"{text[:_WIDTH]}..." for text in about]
        left_out = len(cut) - FIRST_LINES - LAST_LINES
        if left_out <= 1:
            return cut
        return [*cut[:FIRST_LINES], f"{'':>13}  ... {left_out} lines ...", *cut[-LAST_LINES:]]

    def digest(self) -> str:
        """A hash of every line: two runs of one seed have the same."""
        return hashlib.sha256("\n".join(line.text for line in self._lines).encode()).hexdigest()

    def _add(self, actor: str, text: str, run_id: str, *, is_fault: bool) -> None:
        elapsed_ms = self._now_ms() - VIRTUAL_START_MS
        whom = f" {self.alias(run_id)}" if run_id else ""
        self._lines.append(Line(run_id, f"{elapsed_ms / 1_000:>12.3f}s  {actor:<9}{whom}: {text}", is_fault))


def told(fault: str, where: str, about: str) -> str:
    """A fault in a sentence on whoever it strikes: ``dies after journal.commit (step charge completed)``."""
    sentence = fault.removeprefix("worker ")
    for vague in ("a port call", "an AWS call", "AWS call", "port"):
        if vague in sentence:
            sentence = sentence.replace(vague, where, 1)
            break
    return f"{sentence} ({about})" if about else sentence
