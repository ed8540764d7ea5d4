"""The stack: in which order a run's steps finished, so that every replay resolves them the same way.

A sequential step must cost one write, so the order is not kept in a list that each step appends to. An entry carries
its own place, (term, position), when the holder of the drive lease wrote it. Entries written by others - planned steps,
timers - arrive without one; the driver that meets them gives them the next places of its own term and stores those
before it makes a call. A term that ended without a release is fenced: places of it beyond the fence were written by a
driver that had already lost its lease, so they count as arrivals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stepwell_orchestrator.model.run import Progress, Run
from stepwell_orchestrator.model.step import Place, StepEntry


def stack_of(run: Run) -> tuple[str, ...]:
    """The hashed ids of the memoised steps that have a place, in order."""
    placed = _places(run)
    return tuple(sorted(placed, key=placed.__getitem__))


def next_place(run: Run, term: int) -> Place:
    """The first free place of a term."""
    positions = [place.position for place in _places(run).values() if place.term == term]
    return Place(term, max(positions) + 1 if positions else 0)


def arrange(run: Run, term: int) -> Progress:
    """The progress in which every memoised entry has a place; the same object when nothing has to change."""
    progress = run.header.progress
    places = _places(run)
    arrivals = [entry for entry in run.entries.values() if entry.memoised and entry.step_id not in places]
    if not arrivals:
        return progress
    first = next_place(run, term).position
    ordered = sorted(arrivals, key=_arrival_order)
    placed = {entry.step_id: Place(term, first + offset) for offset, entry in enumerate(ordered)}
    return replace(progress, placed={**progress.placed, **placed})


def fence(run: Run, term: int) -> Progress:
    """Close the term before ``term``, whose driver never released its lease, at what the journal shows of it now."""
    dead = term - 1
    bound = next_place(run, dead).position
    return replace(run.header.progress, fences={**run.header.progress.fences, dead: bound}, discovered=None)


def _places(run: Run) -> Mapping[str, Place]:
    progress = run.header.progress
    places: dict[str, Place] = {}
    for entry in run.entries.values():
        place = _place(entry, progress) if entry.memoised else None
        if place is not None:
            places[entry.step_id] = place
    return places


def _place(entry: StepEntry, progress: Progress) -> Place | None:
    given = progress.placed.get(entry.step_id)
    if given is not None or entry.place is None:
        return given
    bound = progress.fences.get(entry.place.term)
    return entry.place if bound is None or entry.place.position < bound else None


def _arrival_order(entry: StepEntry) -> tuple[int, str]:
    return (entry.ended_at_ms or 0, entry.step_id)
